from __future__ import annotations

from dataclasses import replace

import numpy as np
from cleanlab.multiannotator import get_label_quality_multiannotator

from pipeline.stages.label_noise.consensus import annotators, crowdlab
from pipeline.stages.label_noise.labelled import Labelled
from tests.stages.label_noise.planted import CLASSES, World, add_copies, relabel, world


def named(labelled: Labelled, names: list[str]) -> Labelled:
    """Name images, so that they come from the batches that the names begin with."""
    return replace(labelled, image_id=np.array(names))


def shown(planted: World, *, sharpness: float = 0.8) -> np.ndarray:
    """Probabilities that favour the truth."""
    found = np.full((len(planted.truth), len(CLASSES)), (1 - sharpness) / (len(CLASSES) - 1))
    found[np.arange(len(planted.truth)), planted.truth] = sharpness
    return found


def scraped(seed: int) -> tuple[World, np.ndarray]:
    """Three batches that show the same 300 photographs; the third one's labels are guesses. And the batch of each."""
    clean = world(seed, lesions=300)
    originals = np.unique(clean.labelled.lesion, return_index=True)[1]
    rng = np.random.default_rng(seed)
    careless = rng.integers(0, len(CLASSES), len(originals))
    planted = add_copies(clean, originals, clean.truth[originals])
    planted = add_copies(planted, originals, careless)
    batch = np.repeat([0, 1, 2], [len(clean.truth), len(originals), len(originals)])
    order = np.lexsort([planted.labelled.photograph, batch])
    assert np.array_equal(order, np.arange(len(batch)))
    names = [f"{'abc'[of]}:{i:05d}" for i, of in enumerate(batch)]
    return replace(planted, labelled=named(planted.labelled, names)), batch


def test_an_image_whose_photograph_was_labelled_once_has_no_score() -> None:
    clean = world(1, lesions=60)
    assert np.isnan(crowdlab(clean.labelled, shown(clean))).all()
    planted = add_copies(clean, np.array([3, 5]), clean.truth[[3, 5]])
    found = crowdlab(planted.labelled, shown(planted))
    assert np.flatnonzero(~np.isnan(found)).tolist() == [3, 5, len(clean.truth), len(clean.truth) + 1]


def test_labels_that_others_contradict_have_the_least_quality() -> None:
    planted, batch = scraped(2)
    found = crowdlab(planted.labelled, shown(planted, sharpness=0.4))
    scored = ~np.isnan(found)
    assert (found[scored] >= 0).all()
    assert (found[scored] <= 1).all()
    wrong = planted.wrong
    assert found[scored & wrong].max() < found[scored & ~wrong].min()
    assert found[scored & (batch == 2)].mean() < found[scored & (batch == 0)].mean()


def test_scores_are_cleanlabs() -> None:
    planted, batch = scraped(3)
    probabilities = shown(planted)
    several = np.bincount(planted.labelled.photograph)[planted.labelled.photograph] > 1
    labels = np.stack([planted.labelled.given[several & (batch == of)] for of in range(3)], axis=1).astype(float)
    theirs = get_label_quality_multiannotator(labels, probabilities[several & (batch == 0)], verbose=False)
    ours = crowdlab(planted.labelled, probabilities)
    for of in range(3):
        expected = theirs["detailed_label_quality"].iloc[:, of].to_numpy()
        assert np.allclose(ours[several & (batch == of)], expected)


def test_annotators_are_batches_and_in_them_the_first_and_the_second_copy() -> None:
    names = np.array(["a:1", "a:2", "a:3", "b:1", "b:2"])
    assert annotators(names, np.array([0, 1, 0, 0, 1])).tolist() == [0, 0, 1, 2, 2]


def test_without_a_majority_anywhere_nobody_can_be_weighed() -> None:
    clean = relabel(world(4, lesions=40), np.arange(40), 1)
    planted = add_copies(clean, np.array([0, 5]), np.array([0, 2]))
    assert np.isnan(crowdlab(planted.labelled, shown(planted))).all()


def test_ties_are_broken_alike_every_time_and_nobody_elses_dice_are_touched() -> None:
    planted, _ = scraped(5)
    torn = relabel(planted, np.arange(0, len(planted.truth), 7), 3)
    blind = np.full((len(torn.truth), len(CLASSES)), 1 / len(CLASSES))
    before = str(np.random.get_state())  # noqa: NPY002
    first, second = (crowdlab(torn.labelled, blind) for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)
    assert str(np.random.get_state()) == before  # noqa: NPY002


def test_a_single_diagnosis_needs_no_consensus() -> None:
    clean = world(4, lesions=40)
    planted = add_copies(clean, np.array([0]), np.array([0]))
    alone = replace(planted.labelled, classes=CLASSES[:1], given=np.zeros(len(planted.truth), int))
    assert np.isnan(crowdlab(alone, np.ones((len(planted.truth), 1)))).all()
