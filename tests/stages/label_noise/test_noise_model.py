from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline.stages.label_noise.dataset import of_given
from pipeline.stages.label_noise.noise_model import (
    NoiseModel,
    NoiseSettings,
    Observed,
    e_step,
    fit_noise_models,
    log_likelihood,
    log_linear_pool,
    m_step,
    maximise_pool_weights,
    rank_one_noise_matrix,
    start,
    uniform_noise_matrix,
)
from tests.stages.label_noise.planted import CONFUSED, NOISE, mislabel, world
from tests.stages.label_noise.scored import predicted

MATRIX = np.array([[0.8, 0.2, 0.0], [0.05, 0.95, 0.0], [0.0, 0.0, 1.0]])


def fitted(
    pred_probs: NDArray[np.float64],
    given: NDArray[np.int64],
    weak: NDArray[np.float64] | None = None,
    settings: NoiseSettings = NOISE,
) -> list[NoiseModel]:
    """Fit with equal shares, every label counting once."""
    return fit_noise_models(
        pred_probs,
        given,
        shares=np.full(len(pred_probs), 1 / len(pred_probs)),
        count=np.ones(len(given)),
        weak_probs=pred_probs[:0] if weak is None else weak,
        settings=settings,
    )


def likeliest(models: list[NoiseModel]) -> NoiseModel:
    return max(models, key=lambda model: model.evidence)


def drawn(rng: np.random.Generator, chances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw a class for each row by its probabilities."""
    found: NDArray[np.int64] = (rng.random((len(chances), 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return found


def test_modest_probabilities_are_sharpened_and_the_noise_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], 20_000)
    given = drawn(rng, MATRIX[drawn(rng, probabilities)])
    models = fitted(log_linear_pool(probabilities[None], np.array([1 / 1.5]))[None], given)
    model = likeliest(models)
    assert [one.shaped for one in models] == [False, True]
    assert sum(one.evidence for one in models) == pytest.approx(1)
    assert abs(model.pool_weights[0] - 1.5) < 0.1
    assert np.abs(model.noise_matrix - MATRIX).max() < 0.02
    assert model.mixture_weight == 0


@pytest.mark.parametrize("weight", [0.0, 0.15, 0.5])
def test_the_mixture_weight_and_the_weak_classifier_are_found(weight: float) -> None:
    rng = np.random.default_rng(2)
    strong = rng.dirichlet([0.15, 0.15, 0.15], 20_000)
    weak = np.stack([rng.dirichlet([0.5, 0.5, 0.5], 20_000) for _ in range(3)])
    truth, seen = (drawn(rng, chances) for chances in (strong, weak[1]))
    given = np.where(rng.random(20_000) < weight, seen, drawn(rng, MATRIX[truth]))
    models = fitted(strong[None], given, weak)
    model = likeliest(models)
    assert abs(sum(one.evidence * one.mixture_weight for one in models) - weight) < 0.02
    assert np.abs(model.noise_matrix - MATRIX).max() < 0.03
    assert weight == 0 or model.weak_weights[1] > 0.9


@pytest.mark.parametrize("errors", ["of a shape", "without a shape"])
@pytest.mark.parametrize("labels", [400, 2000])
def test_noise_has_a_shape_where_the_labels_say_so(errors: str, labels: int) -> None:
    shaped = errors == "of a shape"
    rng = np.random.default_rng(labels)
    classes, of_shape = 6, []
    for _ in range(10):
        scores = rng.normal(0, 3, (labels, classes))
        truth = drawn(rng, softmax(scores, axis=1))
        wrong = rng.random(labels) < 0.2
        target = rng.integers(1, 3 if shaped else classes, labels)  # of a shape: among the first three alone
        other = (truth + target) % (3 if shaped else classes)
        given = np.where(wrong & ((truth < 3) | (not shaped)), other, truth)
        models = fitted(softmax(scores, axis=1)[None], given, settings=NoiseSettings())
        of_shape.append(sum(one.evidence for one in models if one.shaped))
    assert (np.mean(of_shape) > 0.8) if shaped else (np.mean(of_shape) < 0.5)


def test_a_classifier_that_explains_labels_as_well_as_the_pool_is_not_weak() -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(0, 3, (1500, 4))
    given = drawn(rng, softmax(scores, axis=1))
    strong, blind = softmax(scores + rng.normal(0, 1, scores.shape), axis=1), softmax(scores / 6, axis=1)
    dull = softmax(scores + rng.normal(0, 6, scores.shape), axis=1)
    for weak, dependent in ((strong, False), (blind, False), (dull, True)):
        models = fitted(strong[None], given, weak[None])
        assert (len(models) == 4) == dependent
        assert sum(one.evidence * one.mixture_weight for one in models) < 0.02


def test_labels_are_not_thought_to_be_mostly_wrong_by_classifiers_that_know_nothing() -> None:
    rng = np.random.default_rng(5)
    for labels in (9, 60, 400):
        given = rng.integers(0, 4, labels)
        overfit = softmax(rng.normal(0, 4, (2, labels, 4)), axis=2)
        models = fitted(overfit, given, settings=NoiseSettings())
        right = sum(model.evidence * np.diag(model.noise_matrix).mean() for model in models)
        assert right > 0.7
        assert all(model.pool_weights.sum() < 1 for model in models)


def test_no_step_makes_the_labels_less_likely() -> None:
    rng = np.random.default_rng(3)
    strong, weak = rng.dirichlet([0.3, 0.3, 0.3], 5000), rng.dirichlet([0.5, 0.5, 0.5], 5000)
    given = np.where(rng.random(5000) < 0.2, drawn(rng, weak), drawn(rng, MATRIX[drawn(rng, strong)]))
    weak_given = of_given(weak[None], given)
    observed = Observed(np.log(strong[None]) / 1.5, np.ones(1), weak_given, given, np.ones(5000))
    settings = replace(NOISE, prior_labels=1e-9)
    model = start(observed, np.ones(1, bool), shaped=True)._replace(mixture_weight=0.5)
    reached = [log_likelihood(observed, model)]
    for _ in range(5):
        model = model._replace(pool_weights=maximise_pool_weights(observed, model))
        reached.append(log_likelihood(observed, model))
        model = m_step(observed, model, *e_step(observed, model), settings)
        reached.append(log_likelihood(observed, model))
    assert (np.diff(reached) > -1e-6).all()
    assert reached[-1] > reached[0] + 100


def test_noise_of_rank_one_is_found_from_its_counts() -> None:
    targets, rates = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.3, 0.1, 0.2, 0.02])
    matrix = np.array([[rates[z] * targets[y] / (1 - targets[z]) for y in range(4)] for z in range(4)])
    np.fill_diagonal(matrix, 1 - rates)
    assert np.abs(rank_one_noise_matrix(1e6 * matrix) - matrix).max() < 1e-3
    few = rank_one_noise_matrix(np.diag([10.0, 10, 10, 10]) + np.eye(4, k=1))
    assert np.allclose(few.sum(axis=1), 1)
    assert (few > 0).all(), "what was never seen is not impossible"
    assert np.allclose(rank_one_noise_matrix(np.array([[7.0]])), 1)


def test_uniform_noise_is_spread_over_the_other_classes() -> None:
    assert np.allclose(uniform_noise_matrix(3, 0.2), [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])


def test_the_noise_matrix_has_the_shape_that_was_planted() -> None:
    clean = world(1, lesions=1500, spread=0.15)
    planted = mislabel(clean, "confused", rate=0.15, seed=1)
    noise = predicted(planted).noise_matrix
    expected = np.zeros_like(noise)
    np.add.at(expected, (clean.truth, planted.dataset.given), 1)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.abs(noise - expected).max() < 0.06
    assert min(1 - noise[i, i] for i in CONFUSED) > 0.1 > max(1 - noise[i, i] for i in (0, 4))


@pytest.mark.parametrize("labels", [30, 20_000])
def test_the_shares_of_the_pool_stand_until_labels_say_otherwise(labels: int) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, labels)
    seen = np.eye(3)[truth] * 1.5 + rng.normal(0, 1, (3, labels, 3))
    pred_probs = softmax(seen, axis=2)
    pred_probs[2] = rng.permutation(pred_probs[2])
    weights = likeliest(fitted(pred_probs, truth)).pool_weights
    assert abs(weights[0] - weights[1]) < 0.3 * weights[0]
    assert (weights[2] < 0.1 * weights[0]) == (labels > 1000)


def test_pooling_multiplies_and_keeps_zeros() -> None:
    pred_probs = np.array([[[0.0, 0.25, 0.75]], [[0.2, 0.4, 0.4]]])
    assert np.allclose(log_linear_pool(pred_probs, np.array([2.0, 1.0])), [[0, 0.1, 0.9]])
