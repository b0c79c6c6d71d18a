from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.stages.label_noise.cross_validation import cross_val_predict
from pipeline.stages.label_noise.scores import (
    METHODS,
    NO_COPY,
    Posterior,
    ambiguity,
    by_noise_matrix,
    conflicting_copies,
    write_reasons,
)
from tests.stages.label_noise.planted import (
    CLASSES,
    NOISE,
    SEEN_WEAKLY,
    Array,
    add_copies,
    mislabel,
    params,
    relabel,
    world,
)
from tests.stages.label_noise.scored import precision, scored

PARAMS = params()
NOISY = {kind: mislabel(world(7), kind, rate=0.1, seed=7) for kind in ("uniform", "confused")}


@pytest.fixture(scope="module")
def errors() -> dict[tuple[str, str], Array]:
    return {
        (kind, method): scored(planted, method=method).error_probability
        for kind, planted in NOISY.items()
        for method in METHODS
    }


@pytest.mark.parametrize(("kind", "floor"), [("uniform", 0.85), ("confused", 0.7)])
def test_planted_errors_rank_first(errors: dict[tuple[str, str], Array], kind: str, floor: float) -> None:
    assert precision(NOISY[kind], errors[kind, "noise_matrix"]) > floor


def test_the_noise_matrix_beats_self_confidence_where_noise_has_a_shape(errors: dict[tuple[str, str], Array]) -> None:
    ours, plain = (precision(NOISY["confused"], errors["confused", m]) for m in ("noise_matrix", "self_confidence"))
    assert ours > plain + 0.03


@pytest.mark.parametrize("seed", [7, 8])
def test_instance_dependent_errors_are_counted_where_the_model_knows_of_them(seed: int) -> None:
    planted = mislabel(world(seed), "instance_dependent", rate=0.1, seed=seed)
    off = []
    for components in ((SEEN_WEAKLY,), ()):
        noise = replace(NOISE, weak_components=components)
        predictions = cross_val_predict(planted.dataset, PARAMS, noise=noise)
        counted = by_noise_matrix(planted.dataset, predictions).error_probability.sum()
        off.append(abs(counted / planted.wrong.sum() - 1))
        assert (predictions.mixture_weight > 0.05) == bool(components)
        assert predictions.weak_components == (SEEN_WEAKLY if components else 0)
    assert off[0] < 0.1 < off[1]


@pytest.mark.parametrize("seed", [7, 8])
def test_a_weak_classifier_that_knows_something_is_no_noise(seed: int) -> None:
    clean = world(seed)  # five diagnoses lie in four directions: a classifier on those is not weak at all
    noise = replace(NOISE, weak_components=(4, 8))
    predictions = cross_val_predict(clean.dataset, PARAMS, noise=noise)
    assert predictions.mixture_weight < 0.01
    assert by_noise_matrix(clean.dataset, predictions).error_probability.sum() < 0.01 * len(clean.truth)


@pytest.mark.parametrize("kind", NOISY)
def test_error_probabilities_are_roughly_calibrated(errors: dict[tuple[str, str], Array], kind: str) -> None:
    found, wrong = errors[kind, "noise_matrix"], NOISY[kind].wrong
    assert found[found > 0.9].size > 20
    assert wrong[found > 0.9].mean() > 0.85
    assert wrong[found < 0.1].mean() < 0.1
    assert 0.5 < found.sum() / wrong.sum() < 1.5


def test_a_copy_with_another_label_makes_the_worse_label_a_top_suspect() -> None:
    clean = world(8, lesions=400)
    originals = np.flatnonzero(clean.dataset.reference)[::40]
    planted = add_copies(clean, originals, (clean.truth[originals] + 2) % len(CLASSES))
    copies = np.arange(len(clean.truth), len(planted.truth))
    conflicting = conflicting_copies(planted.dataset)
    assert np.array_equal(conflicting[copies], originals)
    assert np.array_equal(conflicting[originals], copies)
    assert (conflicting == NO_COPY).sum() == len(planted.truth) - 2 * len(originals)
    found = scored(planted).error_probability
    best = np.argsort(-found)[: len(copies)]
    assert np.isin(best, [*copies, *originals]).all()
    assert (np.maximum(found[copies], found[originals]) >= 0.95).all()
    assert (found[copies] > found[originals]).mean() > 0.9


def test_a_conflict_without_a_prediction_is_a_coin_toss() -> None:
    clean = world(8, lesions=200)
    rare = np.flatnonzero((clean.truth == 0) & clean.dataset.reference)
    planted = relabel(clean, clean.truth == 0, 1)
    planted = add_copies(planted, rare[:1], np.array([0]))
    found = scored(planted).error_probability
    assert found[-1] >= 0.5
    assert found[rare[0]] >= 0.5


@pytest.mark.parametrize("kind", NOISY)
def test_the_suggestion_is_the_true_diagnosis_of_most_errors_found(kind: str) -> None:
    planted, found = NOISY[kind], scored(NOISY[kind])
    hits = planted.wrong & (found.error_probability > 0.5)
    assert hits.sum() > 50
    assert (found.suggested == planted.truth)[hits].mean() > 0.85


def test_ambiguity_is_one_for_a_coin_toss_and_zero_for_certainty() -> None:
    found = ambiguity(np.array([[0.5, 0.5, 0], [0, 1, 0], [0.1, 0.2, 0.7]]))
    assert np.allclose(found, [1, 0, 0.4])


def test_reasons_name_what_the_image_shows_and_what_the_label_adds() -> None:
    dataset = world(9, lesions=60).dataset
    i = int(np.flatnonzero(dataset.given == 0)[0])
    shown = np.eye(len(CLASSES))[dataset.given]
    verdict = shown.copy()
    shown[i], verdict[i] = [0.0, 0.1, 0.15, 0.75, 0.0], [0.02, 0.08, 0.6, 0.3, 0.0]
    posterior = Posterior(shown, verdict, 1 - verdict.max(axis=1))
    alone = np.full(len(shown), NO_COPY)
    others = np.tile(np.flatnonzero(dataset.given == 2)[:3], (len(shown), 1))
    every = np.ones(len(shown), bool)
    found = write_reasons(dataset, posterior, has_prediction=every, conflicting=alone, neighbours=others)
    assert found[i] == (
        "looks like nevus (0.75) rather than eczema (0.00); so labelled, melanoma is likeliest (0.60); "
        "of its 3 nearest train images 3 melanoma and 0 eczema"
    )
