"""How many labels are wrong: an interval round the sum of the error probabilities.

    p(s, f | labels) ∝ p(s) p(f) Π_i p(y_i | x_i; s, f)       on a grid, under each hypothesis of the noise model
    errors | s, f ~ N(μ, σ² + (MODEL_ERROR μ)²)               μ, σ² of Σ_i Bernoulli(P(label i is wrong; s, f)),
                                                              the images of a lesion together

Two numbers decide the sum, and few labels tell them: s, how sure the pool of classifiers is (its predictions are raised
to this power), and f, how often labels err (the noise rates of all diagnoses are multiplied by it). Both are 1 where
the model was fitted; s is log-normal about it, and f has the noise model's prior on the mean rate, of less weight: what
steadies an estimate must not narrow what is said of its error. A pool that is surer and a rate that is higher explain
the same labels, which is why the interval is wider than chance alone would have it. MODEL_ERROR is what no label tells:
how far off a model of labels is that is true of none, as a share of the errors.

It is an interval of the errors that the model can see. Those that follow the image, as another classifier would take
it, are not among them: only the random sample (`audit_sample`) counts these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from scipy.stats import norm

from pipeline.stages.label_noise.cross_validation import Hypothesis, Predictions
from pipeline.stages.label_noise.dataset import Dataset, of_given
from pipeline.stages.label_noise.noise_model import (
    MAX_NOISE_RATE,
    NOISE_RATE,
    SHARPNESS_SPREAD,
    TINY,
)

CONFIDENCE = 0.9
RATE_PRIOR = 10.0  # labels; by the coverage in sets of 400 lesions that no table reports
MODEL_ERROR = 0.2  # the least of .05, .1 … with which nine of ten intervals hold at 400 and at 1,500 such lesions
SHARPNESS = np.exp(np.linspace(-1.0, 1.0, 21))
FACTORS = np.exp(np.linspace(np.log(0.1), np.log(8.0), 41))
LEAST_RIGHT = 0.02  # of the labels of a diagnosis, however many err
LEAST_RATE = 1e-4  # of errors, whose logarithm is taken


def error_interval(
    dataset: Dataset, predictions: Predictions, error_probability: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Bound the number of wrong labels, by `CONFIDENCE`.

    Args:
        dataset: images in scope.
        predictions: of them.
        error_probability: (n,) of their labels; the bounds are for their sum.

    Returns:
        the lower and the upper bound; None where nothing was learnt.

    """
    known = dataset.reference & predictions.has_prediction
    if not known.any():
        return None
    grids = [_grid(dataset, one, known) for one in predictions.hypotheses]
    weights, means, spreads = (np.concatenate(parts) for parts in zip(*grids, strict=True))
    scale = float(error_probability.sum()) / max(_fitted(dataset, predictions), TINY)
    means = means * scale
    spreads = np.maximum(np.hypot(spreads * np.sqrt(scale), MODEL_ERROR * means), TINY)

    def below(errors: float, share: float) -> float:
        return float(weights @ norm.cdf((errors - means) / spreads)) - share

    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    reach = float((means + 10 * spreads).max())
    low, high = (float(brentq(below, -reach, reach, args=(tail,))) for tail in tails)
    return max(low, 0.0), min(max(high, 0.0), float(len(dataset.given)))


def _fitted(dataset: Dataset, predictions: Predictions) -> float:
    """Return the errors expected where s and f are 1."""
    expected = 0.0
    for hypothesis in predictions.hypotheses:
        shown, into = _views(dataset, hypothesis, 1.0)
        expected += hypothesis.model.evidence * float(_wrong(dataset, hypothesis, shown, into, 1.0)[1].sum())
    return expected


def _grid(
    dataset: Dataset, hypothesis: Hypothesis, known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the posterior weight of each pair (s, f), and the mean and standard deviation of the errors under it."""
    together = np.bincount(dataset.lesion)[dataset.lesion]
    rates = 1 - np.diag(hypothesis.model.noise_matrix)
    fitted_rate = float(np.clip(rates[dataset.given[known]].mean(), LEAST_RATE, MAX_NOISE_RATE))
    found = []
    for sharpness in SHARPNESS:
        shown, into = _views(dataset, hypothesis, sharpness)
        for factor in FACTORS[fitted_rate * FACTORS <= MAX_NOISE_RATE]:
            likelihood, wrong = _wrong(dataset, hypothesis, shown, into, factor)
            rate = factor * fitted_rate
            log_posterior = (
                float(dataset.lesion_weights[known] @ np.log(np.maximum(likelihood[known], TINY)))
                - 0.5 * (np.log(sharpness) / SHARPNESS_SPREAD) ** 2
                + RATE_PRIOR * (NOISE_RATE * np.log(rate) + (1 - NOISE_RATE) * np.log1p(-rate))
            )
            found.append((log_posterior, wrong.sum(), np.sqrt((wrong * (1 - wrong) * together).sum())))
    log_posterior, means, spreads = np.array(found).T
    return hypothesis.model.evidence * softmax(log_posterior), means, spreads


def _views(
    dataset: Dataset, hypothesis: Hypothesis, sharpness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Σ_z q(z | x) of the given diagnosis itself, and of the others times their noise towards it, (n,) each."""
    pooled = np.exp(log_softmax(sharpness * np.log(np.maximum(hypothesis.pooled, TINY)), axis=1))
    matrix = hypothesis.model.noise_matrix
    noise = matrix - np.diag(np.diag(matrix))
    return of_given(pooled, dataset.given), np.einsum("nz,zn->n", pooled, noise[:, dataset.given])


def _wrong(
    dataset: Dataset,
    hypothesis: Hypothesis,
    shown: NDArray[np.float64],
    into: NDArray[np.float64],
    factor: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the likelihood of each given label and the probability that it is wrong, (n,) each.

    Args:
        dataset: images in scope.
        hypothesis: how labels come about.
        shown: from `_views`.
        into: likewise.
        factor: f.

    """
    weight = hypothesis.model.mixture_weight
    stays = np.maximum(1 - factor * (1 - np.diag(hypothesis.model.noise_matrix)), LEAST_RIGHT)[dataset.given]
    dependent = weight * of_given(hypothesis.weak, dataset.given)
    likelihood = (1 - weight) * (shown * stays + factor * into) + dependent
    right = shown * ((1 - weight) * stays + dependent)
    return likelihood, np.clip(1 - right / np.maximum(likelihood, TINY), 0.0, 1.0)
