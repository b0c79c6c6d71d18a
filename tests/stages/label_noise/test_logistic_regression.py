from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipeline.stages.label_noise.logistic_regression import FeatureMap, fit_logistic_regression, predict_proba
from tests.stages.label_noise.planted import CLASSES, mislabel, world

ONE_HOT = np.eye(len(CLASSES))


def predictions(
    vectors: NDArray[np.float32],
    targets: NDArray[np.float64],
    *,
    context: NDArray[np.float32] | None = None,
    c: float = 0.1,
) -> NDArray[np.float64]:
    """Fit on images, and predict the same."""
    context = np.zeros((len(vectors), 0), np.float32) if context is None else context
    features = FeatureMap.fit(vectors, 64).apply(vectors, context)
    return predict_proba(features, fit_logistic_regression(features, targets, c))


def test_with_the_labels_themselves_it_is_scikit_learns_logistic_regression() -> None:
    dataset = world(0).dataset
    features = FeatureMap.fit(dataset.vectors, 64).apply(dataset.vectors, dataset.context)
    peer = LogisticRegression(C=0.1, tol=1e-6, max_iter=2000).fit(features, dataset.given)
    ours = predictions(dataset.vectors, ONE_HOT[dataset.given], context=dataset.context)
    assert np.abs(ours - peer.predict_proba(features)).max() < 0.02


def test_a_shared_out_label_counts_as_that_many_images_with_either_label() -> None:
    dataset = world(1, lesions=80).dataset
    features = FeatureMap.fit(dataset.vectors, 16).apply(dataset.vectors, dataset.context)
    half = ONE_HOT[dataset.given] / 2 + ONE_HOT[(dataset.given + 1) % len(CLASSES)] / 2
    twice = np.concatenate([ONE_HOT[dataset.given], ONE_HOT[(dataset.given + 1) % len(CLASSES)]])
    shared = predict_proba(features, fit_logistic_regression(features, half, 0.1))
    doubled = predict_proba(features, fit_logistic_regression(np.concatenate([features] * 2), twice, 0.05))
    assert np.abs(shared - doubled).max() < 0.02


def test_labels_shared_out_by_their_doubt_bend_it_less() -> None:
    clean = world(2, lesions=1500, spread=0.25)
    dataset = mislabel(clean, "uniform", rate=0.3, seed=2).dataset
    train, fresh = dataset.reference, clean.dataset.split == "test"
    truth, of_train = clean.truth[fresh], clean.truth[train]
    features = FeatureMap.fit(dataset.vectors[train], 16)
    inputs = [features.apply(dataset.vectors[rows], dataset.context[rows]) for rows in (train, fresh)]
    likelihood = []
    for doubt in (0.0, 1.0):
        targets = (1 - doubt) * ONE_HOT[dataset.given[train]] + doubt * ONE_HOT[of_train]
        shown = predict_proba(inputs[1], fit_logistic_regression(inputs[0], targets, 0.1))
        likelihood.append(float(np.log(shown[np.arange(len(truth)), truth]).mean()))
    assert likelihood[1] > likelihood[0] + 0.1


def test_a_class_that_no_target_names_has_probability_zero() -> None:
    dataset = world(3, lesions=60).dataset
    kept = dataset.given != 2
    probabilities = predictions(dataset.vectors[kept], ONE_HOT[dataset.given[kept]])
    assert (probabilities[:, 2] == 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_one_class_and_equal_vectors_are_no_trouble() -> None:
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (10, 1))
    assert np.allclose(predictions(vectors, ONE_HOT[np.full(10, 3)])[:, 3], 1)
    assert np.allclose(predictions(vectors, ONE_HOT[np.repeat([0, 1], 5)])[:, :2], 0.5, atol=1e-3)


def test_context_tells_apart_what_looks_the_same() -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (400, 4)).astype(np.float32)
    given = np.tile([0, 1], 200)
    found = predictions(vectors, ONE_HOT[given], context=given[:, None].astype(np.float32))
    assert (found.argmax(1) == given).all()


def test_the_largest_components_are_those_of_a_narrower_map() -> None:
    dataset = world(4, lesions=90).dataset
    wide, narrow = FeatureMap.fit(dataset.vectors, 8).largest(3), FeatureMap.fit(dataset.vectors, 3)
    found, expected = (to.apply(dataset.vectors, dataset.context) for to in (wide, narrow))
    ratio = np.abs(found) / np.abs(expected)
    assert np.allclose(ratio, np.median(ratio), rtol=1e-2)  # but for the scale, of which there is one
