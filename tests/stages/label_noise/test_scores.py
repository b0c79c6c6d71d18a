from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.stages.label_noise.cross_validation import cross_val_predict
from pipeline.stages.label_noise.scores import (
    METHODS,
    NO_COPY,
    Posterior,
    by_noise_matrix,
    conflicting_copies,
    in_words,
    tabulate_scores,
    weigh_in_seen,
    write_reasons,
)
from tests.stages.label_noise.planted import (
    CLASSES,
    COMPONENTS,
    NOISE,
    SEEN_WEAKLY,
    add_copies,
    mislabel,
    params,
    relabel,
    world,
)
from tests.stages.label_noise.scored import precision, predicted, scored

PARAMS = params()
NOISY = {kind: mislabel(world(7), kind, rate=0.1, seed=7) for kind in ("uniform", "confused")}


@pytest.fixture(scope="module")
def errors() -> dict[tuple[str, str], NDArray[np.float64]]:
    return {
        (kind, method): scored(planted, method=method).error_probability
        for kind, planted in NOISY.items()
        for method in METHODS
    }


@pytest.mark.parametrize(("kind", "floor"), [("uniform", 0.85), ("confused", 0.7)])
def test_planted_errors_rank_first(errors: dict[tuple[str, str], NDArray[np.float64]], kind: str, floor: float) -> None:
    assert precision(NOISY[kind], errors[kind, "noise_matrix"]) > floor


def test_the_noise_matrix_beats_self_confidence_where_noise_has_a_shape(
    errors: dict[tuple[str, str], NDArray[np.float64]],
) -> None:
    ours, plain = (precision(NOISY["confused"], errors["confused", m]) for m in ("noise_matrix", "self_confidence"))
    assert ours > plain + 0.03


@pytest.mark.parametrize("seed", [7, 8])
def test_instance_dependent_errors_are_counted_where_the_model_knows_of_them(seed: int) -> None:
    planted = mislabel(world(seed), "instance_dependent", rate=0.1, seed=seed)
    off = []
    for components in ((SEEN_WEAKLY,), ()):
        noise = replace(NOISE, weak_components=components)
        predictions = cross_val_predict(planted.dataset, PARAMS, noise=noise, components=COMPONENTS)
        counted = by_noise_matrix(planted.dataset, predictions).error_probability.sum()
        off.append(abs(counted / planted.wrong.sum() - 1))
        assert (predictions.mixture_weight > 0.05) == bool(components)
    assert off[0] < 0.12 < off[1]  # averaged over the hypothesis that there is none


@pytest.mark.parametrize("seed", [7, 8])
def test_a_weak_classifier_that_knows_something_is_no_noise(seed: int) -> None:
    clean = world(seed)  # five diagnoses lie in four directions: a classifier on those is not weak at all
    noise = replace(NOISE, weak_components=(4, 8))
    predictions = cross_val_predict(clean.dataset, PARAMS, noise=noise, components=COMPONENTS)
    assert predictions.mixture_weight < 0.01
    assert by_noise_matrix(clean.dataset, predictions).error_probability.sum() < 0.01 * len(clean.truth)


def test_what_was_hard_to_learn_gains_and_as_many_labels_stay_wrong() -> None:
    posterior = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    seen = np.array([[0.95, 0.05], [0.6, 0.4], [0.3, 0.7], [1.0, 1.0]])
    given = np.array([0, 0, 0, 0])
    found = weigh_in_seen(posterior, seen, given)
    assert found.sum(axis=1) == pytest.approx(np.ones(4))
    assert found[:3, 0].sum() == pytest.approx(posterior[:3, 0].sum())
    assert found[0, 0] > found[1, 0] + 0.05  # alike out of fold, not alike to learn
    assert found[2, 0] < posterior[2, 0]
    assert found[3].tolist() == posterior[3].tolist()  # not in train: nothing was seen of it


@pytest.mark.parametrize("posterior", [np.eye(2)[[0, 1]], np.ones((2, 1)), np.empty((0, 2))])
def test_labels_that_are_beyond_doubt_stay_so(posterior: NDArray[np.float64]) -> None:
    seen = np.full_like(posterior, 0.5)
    given = np.arange(len(posterior)) % max(posterior.shape[1], 1)
    assert np.array_equal(weigh_in_seen(posterior, seen, given), posterior)


@pytest.mark.parametrize("kind", NOISY)
def test_error_probabilities_are_roughly_calibrated(
    errors: dict[tuple[str, str], NDArray[np.float64]], kind: str
) -> None:
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


GIVEN = "eczema"  # class 0 of keratosis, melanoma, nevus, psoriasis behind it


@pytest.mark.parametrize(
    ("shown", "posterior", "reason"),
    [
        (
            [0.0, 0.1, 0.15, 0.75, 0.0],
            [0.02, 0.08, 0.6, 0.3, 0.0],
            (
                "rather melanoma (0.60), not eczema (0.02) as labelled; "
                "it looks like nevus (0.75) more than eczema (0.00); "
                "labels eczema are more often wrong for melanoma than for nevus; "
                "of its 3 nearest train images 3 melanoma and 0 eczema"
            ),
        ),
        (
            [0.02, 0.0, 0.98, 0.0, 0.0],
            [0.04, 0.0, 0.96, 0.0, 0.0],
            (
                "almost surely melanoma (0.96), not eczema (0.04) as labelled; "
                "it looks like melanoma (0.98) more than eczema (0.02); "
                "of its 3 nearest train images 3 melanoma and 0 eczema"
            ),
        ),
        (
            [0.5, 0.0, 0.4, 0.1, 0.0],
            [0.2, 0.0, 0.7, 0.1, 0.0],
            (
                "probably melanoma (0.70), not eczema (0.20) as labelled; it looks like eczema (0.50); "
                "but labels eczema are often wrong for melanoma; of its 3 nearest train images 3 melanoma and 0 eczema"
            ),
        ),
        (
            [0.3, 0.0, 0.2, 0.5, 0.0],
            [0.45, 0.0, 0.25, 0.3, 0.0],
            (
                "perhaps eczema (0.45) as labelled, then nevus (0.30); "
                "it looks like nevus (0.50) more than eczema (0.30); "
                "but labels eczema are seldom wrong for nevus; of its 3 nearest train images 0 eczema"
            ),
        ),
    ],
)
def test_reasons_say_what_is_given_what_is_suggested_why_and_how_sure(
    shown: list[float], posterior: list[float], reason: str
) -> None:
    dataset = world(9, lesions=60).dataset
    i = int(np.flatnonzero(dataset.given == CLASSES.index(GIVEN))[0])
    certain = np.eye(len(CLASSES))[dataset.given]
    probabilities, verdict = certain.copy(), certain.copy()
    probabilities[i], verdict[i] = shown, posterior
    alone = np.full(len(certain), NO_COPY)
    others = np.tile(np.flatnonzero(dataset.given == CLASSES.index("melanoma"))[:3], (len(certain), 1))
    found = write_reasons(
        dataset,
        Posterior(probabilities, verdict, 1 - verdict[np.arange(len(verdict)), dataset.given]),
        has_prediction=np.ones(len(certain), bool),
        conflicting=alone,
        neighbours=others,
    )
    assert found[i] == reason


def test_the_words_for_how_sure_agree_with_the_number_that_is_printed() -> None:
    chances = np.linspace(0, 1, 10_001).tolist()
    words, printed = [in_words(p) for p in chances], [f"{p:.2f}" for p in chances]
    assert len(set(zip(words, printed, strict=True))) == len(set(printed))
    assert list(dict.fromkeys(words)) == ["perhaps", "rather", "probably", "almost surely"]


def test_a_doubted_label_offers_another_diagnosis_or_is_ambiguous() -> None:
    planted = NOISY["uniform"]
    predictions = predicted(planted)
    dataset, given = planted.dataset, planted.dataset.given
    posterior = np.full((len(given), len(CLASSES)), 0.1)
    posterior[np.arange(len(given)), given] = np.linspace(0.0, 0.9, len(given))
    one = Posterior(posterior, posterior, 1 - posterior[np.arange(len(given)), given])
    alone = np.full(len(given), NO_COPY)
    off_topic = np.zeros(len(given))
    scores = tabulate_scores(dataset, predictions, one, conflicting=alone, off_topic=off_topic, params=PARAMS)
    doubted = scores["error_probability"] >= PARAMS.min_error_probability
    assert (doubted == (scores["suspect"] ^ scores["ambiguous"])).all()
    assert (scores.loc[scores["suspect"], "suggested"] != scores.loc[scores["suspect"], "given"]).all()
    assert (scores.loc[scores["ambiguous"], "suggested"] == scores.loc[scores["ambiguous"], "given"]).all()
    assert min(scores["suspect"].sum(), scores["ambiguous"].sum()) > 100
