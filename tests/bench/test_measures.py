from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from bench.duplicates.planting import Truth
from bench.duplicates.scores import FALSE, PRECISION, intervals, label, of_kind, operating_point, score
from bench.measures import Ranking
from pipeline.stages.dedup.verification.verify import MEASURED


def ranking(scores: list[float], right: list[bool]) -> Ranking:
    return Ranking(np.array(scores, float), np.array(right, bool))


def made_up(originals: int, copies: int) -> Truth:
    """Files 0, 1, … are originals; the copy of original i is file originals + i."""
    numbers = np.concatenate([np.arange(originals), np.arange(copies)])
    return Truth([""] * originals + ["a" if i % 2 else "b" for i in range(copies)], numbers)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_scikit_learns_also_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.random(400) < 0.2
    scores = np.round(rng.normal(0, 1, 400) + right, 1)
    found = Ranking(scores, right).average_precision(positives=int(right.sum()))
    assert found == pytest.approx(average_precision_score(right, scores))


def test_figures_equal_those_computed_by_hand() -> None:
    found = ranking([9, 8, 7, 6, 5], [True, True, False, True, False])  # a fourth true pair is not listed
    assert found.average_precision(positives=4) == pytest.approx((1 + 1 + 3 / 4) / 4)
    assert found.recall_at(PRECISION, positives=4) == 0.5
    assert found.threshold(PRECISION) == 8
    assert found.recall_at(0.75, positives=4) == 0.75


def test_equal_scores_are_taken_all_or_none() -> None:
    found = ranking([1, 1, 0], [True, False, True])
    assert found.recall_at(PRECISION, positives=2) == 0
    assert found.average_precision(positives=2) == pytest.approx(0.5 * 0.5 + 0.5 * 2 / 3)


def test_an_empty_ranking_finds_nothing() -> None:
    found = ranking([], [])
    assert (found.average_precision(positives=3), found.recall_at(PRECISION, positives=3)) == (0, 0)
    assert found.threshold(PRECISION) == float("inf")


def test_weights_count_like_repetitions() -> None:
    weighted = ranking([3, 2, 1], [True, False, True]).average_precision(np.array([1.0, 2.0, 2.0]), positives=3)
    repeated = ranking([3, 2, 2, 1, 1], [True, False, False, True, True]).average_precision(positives=3)
    assert weighted == pytest.approx(repeated)


def test_a_pair_is_right_if_it_is_a_copy_and_its_original() -> None:
    pairs = pd.DataFrame({"a": [0, 0, 1, 4], "b": [4, 1, 5, 5], "score": [4.0, 3.0, 2.0, 1.0]})
    found = label(pairs, made_up(4, 2))
    assert found.kind.tolist() == [1, FALSE, 0, FALSE]
    assert of_kind(found, 0).score.tolist() == [3.0, 2.0, 1.0]


def test_a_kind_is_scored_against_all_false_pairs_and_no_other_kinds() -> None:
    truth = made_up(6, 4)  # kinds b, a, b, a
    pairs = pd.DataFrame({"a": [0, 2, 1, 4, 3], "b": [6, 8, 7, 5, 9], "score": [5.0, 4.0, 3.0, 2.0, 1.0]})
    report = score(pairs, truth, seed=0)
    assert report["kinds"]["b"]["recall_at_p99"] == 1
    assert report["kinds"]["a"] == {
        "pairs": 2,
        "average_precision": pytest.approx((1 + 2 / 3) / 2, abs=1e-4),
        "recall_at_p99": 0.5,
        "recall_at_common_cut": 0.5,
    }
    assert report["recall_at_p99"] == 0.75
    assert report["false_pairs"] == 0


def test_intervals_hold_the_figure_and_vanish_where_all_is_found() -> None:
    truth, rng = made_up(60, 60), np.random.default_rng(0)
    right = pd.DataFrame({"a": np.arange(60), "b": np.arange(60, 120), "score": rng.random(60)})
    wrong = pd.DataFrame({"a": np.arange(59), "b": np.arange(1, 60), "score": rng.random(59)})
    for pairs, width in ((right, 0.0), (pd.concat([right, wrong]), 0.05)):
        ordered = label(pairs.sort_values("score", ascending=False), truth)
        low, high = intervals(ordered, truth, resamples=100, seed=0)["average_precision"]
        figure = ordered.ranking().average_precision(positives=60)
        assert low <= figure <= high
        assert high - low >= width


def test_the_operating_point_counts_what_is_proven_and_what_was_looked_at() -> None:
    pairs = pd.DataFrame(
        {
            "a": [0, 1, 2, 0],
            "b": [4, 5, 6, 1],
            "score": [3.0, 2.0, None, 1.0],
            "relation": ["copy", "same_lesion", "none", "same_lesion"],
            "proposed_by": ["phash+features", "embedding", "features", "phash"],
            **dict.fromkeys(MEASURED, 1.0),
            "inliers": 20,
        }
    )
    found = operating_point(pairs, made_up(4, 4))
    assert found["proven"] == {"pairs": 3, "false_pairs": 1, "precision": pytest.approx(2 / 3, abs=1e-4), "recall": 0.5}
    assert found["copy"] == {"pairs": 1, "false_pairs": 0, "precision": 1.0, "recall": 0.25}
    assert found["kinds"]["b"]["copy"] == 0.5
    assert found["kinds"]["b"]["proposed"] == 1.0
    assert found["kinds"]["b"]["by_features"] == 1.0
    assert found["kinds"]["a"]["by_embedding"] == 0.5
