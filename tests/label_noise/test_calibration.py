from __future__ import annotations

import numpy as np

from pipeline.label_noise.calibration import calibrate, sharpen
from pipeline.label_noise.params import Noise
from pipeline.label_noise.probabilities import believe
from tests.label_noise.planted import CONFUSED, mislabel, params, world

NOISE = Noise(start=0.1, rounds=3, prior_lesions=20.0)
MATRIX = np.array([[0.8, 0.2, 0.0], [0.05, 0.95, 0.0], [0.0, 0.0, 1.0]])


def test_modest_probabilities_are_sharpened_and_the_noise_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], 20_000)
    truth = (rng.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    given = (rng.random((20_000, 1)) > MATRIX[truth].cumsum(axis=1)).sum(axis=1)
    exponent, matrix = calibrate(sharpen(probabilities, 1 / 1.5), given, count=np.ones(20_000), noise=NOISE)
    assert abs(exponent - 1.5) < 0.1
    assert np.abs(matrix - MATRIX).max() < 0.02


def test_the_noise_matrix_has_the_shape_that_was_planted() -> None:
    clean = world(1, lesions=1500, spread=0.15)
    labelled = mislabel(clean, "confused", rate=0.15, seed=1).labelled
    noise = believe(labelled, params().probe, NOISE).noise
    expected = np.zeros_like(noise)
    np.add.at(expected, (clean.truth, labelled.given), 1)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.abs(noise - expected).max() < 0.06
    assert min(1 - noise[i, i] for i in CONFUSED) > 0.1 > max(1 - noise[i, i] for i in (0, 4))


def test_sharpening_keeps_order_and_zeros() -> None:
    found = sharpen(np.array([[0.0, 0.25, 0.75]]), 2.0)
    assert np.allclose(found, [[0, 0.1, 0.9]])
