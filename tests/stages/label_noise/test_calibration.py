from __future__ import annotations

import numpy as np
import pytest

from pipeline.stages.label_noise.calibration import calibrate, pool
from pipeline.stages.label_noise.params import Noise
from pipeline.stages.label_noise.probabilities import believe
from tests.stages.label_noise.planted import CONFUSED, Array, mislabel, params, world

NOISE = Noise(start=0.1, rounds=3, prior_lesions=20.0, glances=[2, 4, 8])
MATRIX = np.array([[0.8, 0.2, 0.0], [0.05, 0.95, 0.0], [0.0, 0.0, 1.0]])


def test_modest_probabilities_are_sharpened_and_the_noise_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], 20_000)
    given = drawn(rng, MATRIX[drawn(rng, probabilities)])
    modest = pool(probabilities[None], np.array([1 / 1.5]))
    found = calibrate(modest[None], given, count=np.ones(20_000), noise=NOISE, glances=modest[None][:0])
    assert abs(found.powers[0] - 1.5) < 0.1
    assert np.abs(found.matrix - MATRIX).max() < 0.02
    assert (found.glance, found.hasty) == (None, 0.0)


@pytest.mark.parametrize("hasty", [0.0, 0.15, 0.5])
def test_the_share_of_hasty_labels_and_what_they_are_like_are_found(hasty: float) -> None:
    rng = np.random.default_rng(2)
    strong = rng.dirichlet([0.15, 0.15, 0.15], 20_000)
    glances = np.stack([rng.dirichlet([0.5, 0.5, 0.5], 20_000) for _ in range(3)])
    truth, seen = (drawn(rng, chances) for chances in (strong, glances[1]))
    given = np.where(rng.random(20_000) < hasty, seen, drawn(rng, MATRIX[truth]))
    found = calibrate(strong[None], given, count=np.ones(20_000), noise=NOISE, glances=glances)
    assert abs(found.hasty - hasty) < 0.02
    assert np.abs(found.matrix - MATRIX).max() < 0.03
    assert hasty == 0 or found.glance == 1


def drawn(rng: np.random.Generator, chances: Array) -> Array:
    """Draw a class for each row by its probabilities."""
    found: Array = (rng.random((len(chances), 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return found


def test_the_noise_matrix_has_the_shape_that_was_planted() -> None:
    clean = world(1, lesions=1500, spread=0.15)
    labelled = mislabel(clean, "confused", rate=0.15, seed=1).labelled
    noise = believe(labelled, params().probe, NOISE).noise
    expected = np.zeros_like(noise)
    np.add.at(expected, (clean.truth, labelled.given), 1)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.abs(noise - expected).max() < 0.06
    assert min(1 - noise[i, i] for i in CONFUSED) > 0.1 > max(1 - noise[i, i] for i in (0, 4))


def test_two_probes_that_saw_different_things_both_count_and_one_that_saw_nothing_does_not() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 5000)
    seen = np.eye(3)[truth] * 1.5 + rng.normal(0, 1, (3, 5000, 3))
    opinions = np.exp(seen) / np.exp(seen).sum(axis=2, keepdims=True)
    opinions[2] = rng.permutation(opinions[2])
    powers = calibrate(opinions, truth, count=np.ones(5000), noise=NOISE, glances=opinions[:0]).powers
    assert abs(powers[0] - powers[1]) < 0.2
    assert powers[0] > 0.8
    assert powers[2] < 0.05


def test_pooling_multiplies_and_keeps_zeros() -> None:
    opinions = np.array([[[0.0, 0.25, 0.75]], [[0.2, 0.4, 0.4]]])
    assert np.allclose(pool(opinions, np.array([2.0, 1.0])), [[0, 0.1, 0.9]])
