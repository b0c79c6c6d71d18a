from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.stages.label_noise.dataset import of_given
from pipeline.stages.label_noise.noise_model import (
    Observed,
    e_step,
    fit_noise_model,
    log_likelihood,
    log_linear_pool,
    m_step,
    maximise_pool_weights,
    uniform_start,
)
from tests.stages.label_noise.planted import CONFUSED, NOISE, Array, mislabel, world
from tests.stages.label_noise.scored import predicted

MATRIX = np.array([[0.8, 0.2, 0.0], [0.05, 0.95, 0.0], [0.0, 0.0, 1.0]])


def test_modest_probabilities_are_sharpened_and_the_noise_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], 20_000)
    given = drawn(rng, MATRIX[drawn(rng, probabilities)])
    modest = log_linear_pool(probabilities[None], np.array([1 / 1.5]))
    model = fit_noise_model(modest[None], given, count=np.ones(20_000), settings=NOISE, weak_probs=modest[None][:0])
    assert abs(model.pool_weights[0] - 1.5) < 0.1
    assert np.abs(model.noise_matrix - MATRIX).max() < 0.02
    assert (model.weak_classifier, model.mixture_weight) == (None, 0.0)


@pytest.mark.parametrize("weight", [0.0, 0.15, 0.5])
def test_the_mixture_weight_and_the_weak_classifier_are_found(weight: float) -> None:
    rng = np.random.default_rng(2)
    strong = rng.dirichlet([0.15, 0.15, 0.15], 20_000)
    weak = np.stack([rng.dirichlet([0.5, 0.5, 0.5], 20_000) for _ in range(3)])
    truth, seen = (drawn(rng, chances) for chances in (strong, weak[1]))
    given = np.where(rng.random(20_000) < weight, seen, drawn(rng, MATRIX[truth]))
    model = fit_noise_model(strong[None], given, count=np.ones(20_000), settings=NOISE, weak_probs=weak)
    assert abs(model.mixture_weight - weight) < 0.02
    assert np.abs(model.noise_matrix - MATRIX).max() < 0.03
    assert weight == 0 or model.weak_classifier == 1


def test_no_step_makes_the_labels_less_likely() -> None:
    rng = np.random.default_rng(3)
    strong, weak = rng.dirichlet([0.3, 0.3, 0.3], 5000), rng.dirichlet([0.5, 0.5, 0.5], 5000)
    given = np.where(rng.random(5000) < 0.2, drawn(rng, weak), drawn(rng, MATRIX[drawn(rng, strong)]))
    observed = Observed(np.log(strong[None]) / 1.5, of_given(weak, given), given, np.ones(5000))
    settings = replace(NOISE, prior_lesions=1e-9)
    model = uniform_start(observed, settings)._replace(mixture_weight=0.5)
    reached = [log_likelihood(observed, model)]
    for _ in range(5):
        model = model._replace(pool_weights=maximise_pool_weights(observed, model))
        reached.append(log_likelihood(observed, model))
        model = m_step(observed, model, *e_step(observed, model), settings)
        reached.append(log_likelihood(observed, model))
    assert (np.diff(reached) > -1e-6).all()
    assert reached[-1] > reached[0] + 100


def drawn(rng: np.random.Generator, chances: Array) -> Array:
    """Draw a class for each row by its probabilities."""
    found: Array = (rng.random((len(chances), 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return found


def test_the_noise_matrix_has_the_shape_that_was_planted() -> None:
    clean = world(1, lesions=1500, spread=0.15)
    planted = mislabel(clean, "confused", rate=0.15, seed=1)
    noise = predicted(planted).noise_matrix
    expected = np.zeros_like(noise)
    np.add.at(expected, (clean.truth, planted.dataset.given), 1)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.abs(noise - expected).max() < 0.06
    assert min(1 - noise[i, i] for i in CONFUSED) > 0.1 > max(1 - noise[i, i] for i in (0, 4))


def test_two_classifiers_that_saw_different_things_both_count_and_one_that_saw_nothing_does_not() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 5000)
    seen = np.eye(3)[truth] * 1.5 + rng.normal(0, 1, (3, 5000, 3))
    pred_probs = np.exp(seen) / np.exp(seen).sum(axis=2, keepdims=True)
    pred_probs[2] = rng.permutation(pred_probs[2])
    model = fit_noise_model(pred_probs, truth, count=np.ones(5000), settings=NOISE, weak_probs=pred_probs[:0])
    weights = model.pool_weights
    assert abs(weights[0] - weights[1]) < 0.2
    assert weights[0] > 0.8
    assert weights[2] < 0.05


def test_pooling_multiplies_and_keeps_zeros() -> None:
    pred_probs = np.array([[[0.0, 0.25, 0.75]], [[0.2, 0.4, 0.4]]])
    assert np.allclose(log_linear_pool(pred_probs, np.array([2.0, 1.0])), [[0, 0.1, 0.9]])
