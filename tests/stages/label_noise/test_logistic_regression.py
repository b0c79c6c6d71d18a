from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from pipeline.stages.label_noise.logistic_regression import Classifier, choose_regularization, fit_classifier
from pipeline.stages.label_noise.noise_model import NoiseSettings, uniform_noise_matrix
from tests.stages.label_noise.planted import CLASSES, Array, mislabel, world

NOISE = NoiseSettings(0.1, prior_lesions=20.0, correction_rounds=5)


def fit(vectors: Array, given: Array, *, context: Array | None = None) -> Classifier:
    context = nothing(vectors) if context is None else context
    each = np.arange(len(given))
    return fit_classifier(
        vectors,
        context,
        given,
        group=each,
        count=np.ones(len(given)),
        classes=len(CLASSES),
        components=64,
        regularization_c=[0.1],
        noise=NOISE,
    )


def nothing(vectors: Array) -> Array:
    return np.zeros((len(vectors), 0), np.float32)


def test_without_noise_it_is_scikit_learns_logistic_regression() -> None:
    dataset = world(0).dataset
    classifier = fit(dataset.vectors, dataset.given)
    features = classifier.features.apply(dataset.vectors, dataset.context)
    peer = LogisticRegression(C=0.1, tol=1e-6, max_iter=2000).fit(features, dataset.given)
    assert (
        np.abs(classifier.predict_proba(dataset.vectors, dataset.context)[0] - peer.predict_proba(features)).max()
        < 0.02
    )


def test_wrong_labels_bend_a_classifier_that_allows_for_them_less() -> None:
    clean = world(2, lesions=1500, spread=0.25)
    dataset = mislabel(clean, "uniform", rate=0.3, seed=2).dataset
    fresh = clean.dataset.vectors[clean.dataset.split == "test"]
    truth = clean.truth[clean.dataset.split == "test"]
    train = dataset.reference
    classifier = fit(dataset.vectors[train], dataset.given[train])
    plain, corrected = (
        float(np.log(shown[np.arange(len(truth)), truth]).mean())
        for shown in classifier.predict_proba(fresh, nothing(fresh))
    )
    assert corrected > plain + 0.1


def test_a_class_never_seen_has_probability_zero() -> None:
    dataset = world(3, lesions=60).dataset
    kept = dataset.given != 2
    classifier = fit(dataset.vectors[kept], dataset.given[kept])
    for probabilities in classifier.predict_proba(dataset.vectors, dataset.context):
        assert (probabilities[:, 2] == 0).all()
        assert np.allclose(probabilities.sum(axis=1), 1)


def test_one_class_and_equal_vectors_are_no_trouble() -> None:
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (10, 1))
    alone = fit(vectors, np.full(10, 3)).predict_proba(vectors, nothing(vectors))
    assert np.allclose(np.stack(alone)[:, :, 3], 1)
    plain, _ = fit(vectors, np.repeat([0, 1], 5)).predict_proba(vectors, nothing(vectors))
    assert np.allclose(plain[:, :2], 0.5, atol=1e-3)


def test_context_tells_apart_what_looks_the_same() -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (400, 4)).astype(np.float32)
    given = np.tile([0, 1], 200)
    context = given[:, None].astype(np.float32)
    assert (fit(vectors, given, context=context).predict_proba(vectors, context)[0].argmax(1) == given).all()


def test_uniform_noise_is_spread_over_the_other_classes() -> None:
    assert np.allclose(uniform_noise_matrix(3, 0.2), [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])


def test_the_strength_is_chosen_that_fits_groups_never_seen() -> None:
    dataset = mislabel(world(5, lesions=600), "uniform", rate=0.1, seed=5).dataset
    train, fresh = dataset.reference, ~dataset.reference
    candidates = [1e-6, 1e-3, 0.1, 1e3]
    loss = {}
    for strengths in [candidates[::-1], *([c] for c in candidates)]:
        classifier = fit_classifier(
            dataset.vectors[train],
            dataset.context[train],
            dataset.given[train],
            group=dataset.group[train],
            count=np.ones(int(train.sum())),
            classes=len(CLASSES),
            components=16,
            regularization_c=strengths,
            noise=NOISE,
        )
        shown, _ = classifier.predict_proba(dataset.vectors[fresh], dataset.context[fresh])
        loss[len(strengths), strengths[0]] = -np.log(shown[np.arange(len(shown)), dataset.given[fresh]]).mean()
    chosen = loss.pop((len(candidates), candidates[-1]))
    assert chosen < min(loss.values()) + 0.02
    assert max(loss.values()) > chosen + 0.2


def test_a_strength_that_only_learns_groups_by_heart_is_not_chosen() -> None:
    """Images of a group are all but equal, so that held out singly they would favour the weakest penalty."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 10)
    vectors = (rng.normal(0, 1, (60, 20))[group] + rng.normal(0, 0.01, (600, 20))).astype(np.float32)
    given = rng.integers(0, 2, 60)[group]
    assert choose_regularization(vectors, given, group=group, candidates=[1e-4, 1e4]) == 1e-4
    assert choose_regularization(vectors, given, group=np.arange(600), candidates=[1e-4, 1e4]) == 1e4


def test_a_single_strength_a_single_group_and_a_single_class_need_no_choice() -> None:
    vectors, group = np.eye(4, dtype=np.float32), np.arange(4)
    two = np.array([0, 1, 0, 1])
    assert choose_regularization(vectors, two, group=group, candidates=[0.3]) == 0.3
    assert choose_regularization(vectors, two, group=np.zeros(4, int), candidates=[0.3, 0.4]) == 0.3
    assert choose_regularization(vectors, np.zeros(4, int), group=group, candidates=[0.4, 0.3]) == 0.3
