"""Logistic regression on principal components, from labels that may be shared out over several diagnoses.

    loss(W) = -Σ_i Σ_z r_iz log softmax(x_i W)_z  +  1 / (2 C) · |W|²

r_iz: how far image i counts as diagnosis z: 1 for the given label where that is believed, P(z | image, given label)
where it is doubted. x: the principal components of an image's vector, and the patient's context beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import softmax

MUCH_WIDER = 2  # times as many numbers as components: then vectors are narrowed before they meet folds
# The result hardly depends on these: they say when the optimiser may stop and how it is scaled.
GRADIENT_TOLERANCE = 1e-3
MAX_ITERATIONS = 300
CURVATURE = 0.1  # of the loss, a typical p (1 - p): scales the coordinates so that few iterations are needed
CONSTANT = 3.0  # the input that carries the intercept, scaled for the same reason


@dataclass(frozen=True)
class FeatureMap:
    """A fitted map: mean (d,), and projection (d, components) from vectors to principal components."""

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], components: int) -> FeatureMap:
        """Fit to vectors (n, d)."""
        return cls(*principal_components(vectors, components))

    def largest(self, count: int) -> FeatureMap:
        """Keep the components of largest variance, as if no more had been asked for."""
        kept = self.projection[:, -count:]
        return FeatureMap(self.mean, kept)

    def apply(self, vectors: NDArray[np.float32], context: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map images: (n, d) and (n, numbers) to (n, components + numbers)."""
        return np.hstack([(vectors - self.mean) @ self.projection, context])


def narrow(vectors: NDArray[np.float32], known: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Turn wide vectors into principal components of the known ones, so that not every fold has to.

    Vectors that are not much wider than what is asked for stay as they are.

    Args:
        vectors: (n, d).
        known: (n,) whose directions count.
        count: components.

    """
    return vectors if vectors.shape[1] <= MUCH_WIDER * count else project(vectors, known, count)


def project(vectors: NDArray[np.float32], known: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Turn vectors (n, d) into principal components of the known ones (n,), scaled as `principal_components` does."""
    mean, projection = principal_components(vectors[known], count)
    components: NDArray[np.float32] = np.asarray((vectors - mean) @ projection)
    return components


def principal_components(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the directions of largest variance.

    Returns:
        mean (d,), and projection (d, components) scaled so that the components have variance 1 on average: the strength
        of the L2 penalty then means the same for every encoder.

    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean.astype(np.float32)
    covariance, width = (centred.T @ centred).astype(np.float64) / len(vectors), vectors.shape[1]
    values, directions = eigh(covariance, subset_by_index=[max(width - count, 0), width - 1], overwrite_a=True)
    kept = values > max(values[-1], 1e-12) * 1e-6
    kept[-1] = True  # all vectors may be one and the same
    spread = np.sqrt(max(values[kept].mean(), 1e-12))
    return mean.astype(np.float32), (directions[:, kept] / spread).astype(np.float32)


def fit_logistic_regression(
    features: NDArray[np.float32], targets: NDArray[np.float64], c: float
) -> NDArray[np.float32]:
    """Fit weights.

    Args:
        features: (n, f).
        targets: (n, classes), r; a class that has none of it is never predicted.
        c: inverse L2 strength; the intercept is not penalised.

    Returns:
        (f + 1, classes); the last row is the intercept, -inf for a class that no target names.

    """
    seen = np.flatnonzero(targets.sum(axis=0) > 0)
    weights = _minimise(features, np.ascontiguousarray(targets[:, seen].T, dtype=np.float32), c)
    full = np.zeros((features.shape[1] + 1, targets.shape[1]), np.float32)
    full[-1] = -np.inf
    full[:, seen] = weights.T
    return full


def predict_proba(features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Predict by fitted weights: (n, classes), rows sum to 1; 0 for an unseen class."""
    probabilities: NDArray[np.float64] = softmax((features @ weights[:-1] + weights[-1]).astype(np.float64), axis=1)
    return probabilities


def _minimise(features: NDArray[np.float32], targets: NDArray[np.float32], c: float) -> NDArray[np.float64]:
    """Minimise the loss by L-BFGS for targets (k, n): (k, features + 1)."""
    count, of_image = len(features), targets.sum(axis=0)
    scale = 1 / np.sqrt(CURVATURE * np.square(features).mean(axis=0, dtype=np.float64) + 1 / (c * count))
    inputs = np.hstack([features * scale.astype(np.float32), np.full((count, 1), CONSTANT, np.float32)])
    scale = np.append(scale, CONSTANT)
    flat = np.ascontiguousarray(inputs.T)
    ridge = np.append(np.square(scale[:-1]) / (c * count), 0.0)
    shape = (len(targets), inputs.shape[1])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = weights.reshape(shape)
        scores = weights.astype(np.float32) @ flat
        scores -= scores.max(axis=0)
        scores -= np.log(np.exp(scores).sum(axis=0))
        value = -float((targets * scores).sum(dtype=np.float64)) / count
        slope = ((np.exp(scores) * of_image - targets) @ inputs).astype(np.float64) / count + ridge * weights
        return value + 0.5 * float((ridge * np.square(weights)).sum()), slope.ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": GRADIENT_TOLERANCE, "ftol": 1e-10}
    best: NDArray[np.float64] = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options).x
    weights: NDArray[np.float64] = best.reshape(shape) * scale
    return weights
