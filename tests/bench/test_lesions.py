from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.duplicates.collection import Collection
from bench.duplicates.lesions import Lesions, by_source, false_merges, found_before, joined, label
from bench.measures import exact_interval


def five() -> Lesions:
    """Three images of lesion 0, two of lesion 1; all are nevi but the last."""
    gathered = Collection(Path("nowhere"), ("a", "b", "c", "d", "e"))
    return Lesions(gathered, np.array([0, 0, 0, 1, 1]), np.array(["nv", "nv", "nv", "nv", "mel"]))


def ranked(*pairs: tuple[int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["a", "b", "score"])


def test_a_pair_is_joined_by_its_ids_or_judged_or_false() -> None:
    pairs = ranked((0, 1, 3.0), (2, 3, 2.0), (1, 4, 1.0))
    verdicts = {frozenset(("c", "d")): "same_lesion", frozenset(("b", "e")): "different"}
    assert label(pairs, five(), verdicts).tolist() == ["joined", "judged", "false"]
    assert joined(five().lesion) == 4


def test_pairs_are_counted_down_to_the_allowed_false_merges_and_ties_are_taken_all_or_none() -> None:
    pairs = ranked((0, 1, 5.0), (0, 3, 4.0), (0, 2, 3.0), (1, 3, 2.0), (1, 2, 2.0), (3, 4, 1.0))
    states = label(pairs, five(), {})
    assert [found_before(pairs["score"], states, false=n) for n in (0, 1, 2)] == [1, 2, 4]
    judged = label(pairs, five(), {frozenset(("a", "d")): "same"})
    assert found_before(pairs["score"], judged, false=0) == 2
    tied = ranked((0, 3, 1.0), (0, 1, 1.0))
    assert found_before(tied["score"], label(tied, five(), {}), false=0) == 0


def test_false_merges_are_taken_on_pairs_of_one_diagnosis_and_two_lesions() -> None:
    pairs = ranked((0, 1, 5.0), (0, 3, 4.0), (1, 3, 3.0), (2, 3, 2.0), (2, 4, 1.0))
    pairs["relation"] = ["copy", "copy", "same_lesion", "none", "copy"]
    report = false_merges(pairs, five(), {frozenset(("b", "d")): "same_lesion"})
    assert report["pairs"] == 3
    assert (report["copy"]["false"], report["same_lesion"]["false"]) == (1, 0)


def test_the_interval_of_a_share_is_the_exact_one() -> None:
    assert exact_interval(0, 10) == pytest.approx([0, 0.3084971], abs=1e-6)
    assert exact_interval(10, 10) == pytest.approx([0.6915029, 1], abs=1e-6)
    assert exact_interval(1, 10) == pytest.approx([0.0025286, 0.4450161], abs=1e-6)


def test_what_a_source_proposed_is_counted_and_what_it_alone_proved() -> None:
    pairs = ranked((0, 1, 3.0), (0, 2, 2.0), (3, 4, 1.0), (0, 3, 1.0))
    pairs["relation"] = ["copy", "same_lesion", "none", "copy"]
    pairs["proposed_by"] = ["features", "features+phash", "phash", "phash"]
    assert by_source(pairs, five()) == {
        "features": {"proposed": 2, "proven": 2, "proven_by_it_alone": 1},
        "phash": {"proposed": 2, "proven": 1, "proven_by_it_alone": 0},
    }
