from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from pipeline.label_noise.params import Noise
from pipeline.label_noise.probe import FittedProbe, fit_probe, uniform_noise
from tests.label_noise.planted import CLASSES, Array, mislabel, world

NOISE = Noise(start=0.1, rounds=5, prior_lesions=20.0)


def fit(vectors: Array, given: Array, *, noise: Noise | None = None, c: float = 0.1) -> FittedProbe:
    count = np.ones(len(given))
    return fit_probe(vectors, given, count=count, classes=len(CLASSES), components=64, c=c, noise=noise)


def test_without_noise_it_is_scikit_learns_logistic_regression() -> None:
    labelled = world(0).labelled
    probe = fit(labelled.vectors, labelled.given)
    features = (labelled.vectors - probe.mean) @ probe.projection
    peer = LogisticRegression(C=0.1, tol=1e-6, max_iter=2000).fit(features, labelled.given)
    assert np.abs(probe.predict(labelled.vectors) - peer.predict_proba(features)).max() < 0.005


def test_wrong_labels_bend_a_probe_that_allows_for_them_less() -> None:
    clean = world(2, lesions=1500, spread=0.25)
    labelled = mislabel(clean, "uniform", rate=0.3, seed=2).labelled
    fresh = clean.labelled.vectors[clean.labelled.split == "test"]
    truth = clean.truth[clean.labelled.split == "test"]
    train = labelled.voter
    right = {}
    for name, noise in (("plain", None), ("corrected", NOISE)):
        probabilities = fit(labelled.vectors[train], labelled.given[train], noise=noise).predict(fresh)
        right[name] = float(np.log(probabilities[np.arange(len(truth)), truth]).mean())
    assert right["corrected"] > right["plain"] + 0.1


def test_a_class_never_seen_has_probability_zero() -> None:
    labelled = world(3, lesions=60).labelled
    kept = labelled.given != 2
    probabilities = fit(labelled.vectors[kept], labelled.given[kept], noise=NOISE).predict(labelled.vectors)
    assert (probabilities[:, 2] == 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_one_class_and_equal_vectors_are_no_trouble() -> None:
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (10, 1))
    assert np.allclose(fit(vectors, np.full(10, 3), noise=NOISE).predict(vectors)[:, 3], 1)
    assert np.allclose(fit(vectors, np.repeat([0, 1], 5)).predict(vectors)[:, :2], 0.5, atol=1e-3)


def test_uniform_noise_is_spread_over_the_other_classes() -> None:
    assert np.allclose(uniform_noise(3, 0.2), [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
