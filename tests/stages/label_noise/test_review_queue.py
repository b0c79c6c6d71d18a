from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.stages.label_noise.params import Queue
from pipeline.stages.label_noise.review_queue import discount, rank_suspects
from tests.stages.label_noise.planted import world

PARAMS = Queue(first_image_seconds=20, next_image_seconds=4, evidence_odds={"histopathology": 0.5})
DATASET = world(0, lesions=60).dataset
PAIR = np.flatnonzero(np.bincount(DATASET.lesion) == 2)[:2]
LONE = np.flatnonzero(np.bincount(DATASET.lesion) == 1)[:2]


def queue(
    errors: dict[int, float],
    *,
    suspects: list[int],
    ambiguous: Sequence[int] = (),
    off_topic: Mapping[int, float] | None = None,
    **changes: object,
) -> pd.DataFrame:
    """Line up lesions by number: all images of a lesion get its error probability."""
    error = np.zeros(len(DATASET.given))
    for lesion, value in errors.items():
        error[DATASET.lesion == lesion] = value
    suspect, unsure = np.isin(DATASET.lesion, suspects), np.isin(DATASET.lesion, ambiguous)
    stray = pd.Series(DATASET.lesion).map(off_topic or {}).fillna(0.0)
    scores = pd.DataFrame({"error_probability": error, "suspect": suspect, "ambiguous": unsure, "off_topic": stray})
    dataset = replace(DATASET, **changes)  # type: ignore[arg-type]
    found = rank_suspects(scores, dataset, PARAMS, sure_off_topic=0.99)
    return found.assign(lesion=dataset.lesion[pd.Index(dataset.image_id).get_indexer(pd.Index(found["image_id"]))])


def test_a_lesion_of_two_images_is_worth_more_than_a_likelier_error_on_one() -> None:
    found = queue({PAIR[0]: 0.7, LONE[0]: 0.9}, suspects=[PAIR[0], LONE[0]])
    assert found["lesion"].tolist() == [PAIR[0], PAIR[0], LONE[0]]
    assert found["place"].tolist() == [1, 2, 3]
    assert np.allclose(found["errors_per_minute"], [3.5, 3.5, 2.7])
    assert np.allclose(found["minutes_so_far"], [0.4, 0.4, 0.4 + 1 / 3])


def test_what_has_no_other_diagnosis_to_offer_comes_last() -> None:
    found = queue({PAIR[0]: 0.6, LONE[0]: 0.5, LONE[1]: 0.9}, suspects=[LONE[0]], ambiguous=[PAIR[0], LONE[1]])
    assert found["lesion"].tolist() == [LONE[0], PAIR[0], PAIR[0], LONE[1]]
    assert found["ambiguous"].tolist() == [False, True, True, True]
    assert found["place"].tolist() == [1, 2, 3, 4]


def test_errors_left_counts_images_that_are_no_suspects_too() -> None:
    found = queue({LONE[0]: 0.9, LONE[1]: 0.3}, suspects=[LONE[0]])
    assert np.allclose(found["errors_so_far"], [0.9])
    assert np.allclose(found["errors_left"], [0.3])


def test_histopathology_is_harder_to_overrule() -> None:
    evidence = np.where(DATASET.lesion == LONE[0], "histopathology", "consensus")
    found = queue({LONE[0]: 0.8, LONE[1]: 0.75}, suspects=list(LONE), evidence=evidence)
    assert found["lesion"].tolist() == [LONE[1], LONE[0]]
    assert np.allclose(found["error_probability"], [0.75, 2 / 3])


def test_removed_copies_wait_for_nobody() -> None:
    found = queue({LONE[0]: 0.9}, suspects=[LONE[0]], removed=DATASET.lesion == LONE[0])
    assert found.empty


def test_nobody_is_asked_for_the_diagnosis_of_what_shows_no_skin() -> None:
    errors = {PAIR[0]: 0.9, LONE[0]: 0.8, LONE[1]: 0.7}
    found = queue(errors, suspects=[PAIR[0], LONE[0], LONE[1]], off_topic={PAIR[0]: 0.99, LONE[0]: 0.98})
    assert found["lesion"].tolist() == [LONE[0], LONE[1]]  # 0.98 is not sure: both questions are asked
    assert np.allclose(found["errors_left"], [0.7, 0.0])


def test_odds_leave_certainty_alone() -> None:
    evidence = np.array(["histopathology"] * 3)
    assert np.allclose(discount(np.array([0.0, 0.5, 1.0]), evidence, {"histopathology": 0.5}), [0, 1 / 3, 1])
