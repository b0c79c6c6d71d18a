"""Logistic regression on principal components, whose labels may be wrong: forward correction (Patrini et al. 2017).

    loss(W, T) = -mean log Σ_z softmax(x W)_z T[z, y]  +  1 / (2 C n) · |W|²

The predicted probabilities pass through a noise matrix T before they meet the given labels y, and T is estimated
together with the weights W: where the image is clear and the label contradicts it, T explains the label and W need not
bend. Plain logistic regression is T = identity. Everything is learnt from the rows handed in, so what a fold holds out
has no say, neither directly nor through other images' corrected labels. x: the principal components of an image's
vector, and the patient's context beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.model_selection import GroupKFold

from pipeline.stages.label_noise.noise_model import NoiseSettings, estimate_noise_matrix, uniform_noise_matrix

MUCH_WIDER = 2  # times as many numbers as components: then vectors are narrowed before they meet folds
# The result hardly depends on these: they say when the optimiser may stop and how it is scaled.
GRADIENT_TOLERANCE = 1e-3
MAX_ITERATIONS = 300
CURVATURE = 0.1  # of the loss, a typical p (1 - p): scales the coordinates so that few iterations are needed
CONSTANT = 3.0  # the input that carries the intercept, scaled for the same reason
CHOOSING_FOLDS = 3  # within what a classifier learns from, to choose its regularisation
SMALLEST = 1e-12  # probability, so that one label cannot decide


@dataclass(frozen=True)
class FeatureMap:
    """A fitted map: mean (d,), and projection (d, components) from vectors to principal components."""

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]

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


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier.

    features: from vectors and context.
    plain: (features + 1, classes) weights that take the labels at their word; the last row is the intercept; -inf for a
        class that was never seen.
    corrected: (features + 1, classes) weights that allow for wrong labels.
    """

    features: FeatureMap
    plain: NDArray[np.float32]
    corrected: NDArray[np.float32]

    def predict_proba(
        self, vectors: NDArray[np.float32], context: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return probabilities of the true diagnosis, plain and corrected, (n, classes) each; 0 for an unseen class."""
        features = self.features.apply(vectors, context)
        scores = [features @ weights[:-1] + weights[-1] for weights in (self.plain, self.corrected)]
        plain, corrected = (softmax(score.astype(np.float64), axis=1) for score in scores)
        return plain, corrected


def fit_classifier(
    vectors: NDArray[np.float32],
    context: NDArray[np.float32],
    given: NDArray[np.intp],
    *,
    group: NDArray[np.intp],
    count: NDArray[np.float64],
    classes: int,
    components: int,
    regularization_c: Sequence[float],
    noise: NoiseSettings,
) -> Classifier:
    """Fit features, choose a regularisation, fit weights and noise matrix in turn.

    Args:
        vectors: (n, d).
        context: (n, numbers).
        given: (n,) class numbers.
        group: (n,) numbers: what is held out together to choose a regularisation.
        count: (n,) weight in the noise matrix: 1 / images of the lesion, so that a lesion counts once.
        classes: how many there are, seen here or not.
        components: principal components kept of the vectors.
        regularization_c: inverse L2 strengths to choose from.
        noise: how the noise matrix is estimated.

    """
    features = FeatureMap(*principal_components(vectors, components))
    seen, codes = np.unique(given, return_inverse=True)
    mapped = features.apply(vectors, context)
    c = choose_regularization(mapped, given, group=group, candidates=regularization_c)
    inputs, scale = _scaled(mapped, c)
    penalty = 1 / (c * len(given))
    weights = np.zeros((len(seen), inputs.shape[1]))
    plain = weights = _minimise(weights, inputs, scale, codes=codes, matrix=np.eye(len(seen)), penalty=penalty)
    matrix = uniform_noise_matrix(len(seen), noise.initial_noise_rate)
    for _ in range(noise.correction_rounds):
        weights = _minimise(weights, inputs, scale, codes=codes, matrix=matrix, penalty=penalty)
        posterior = softmax((inputs @ weights.T.astype(np.float32)).astype(np.float64), axis=1) * matrix[:, codes].T
        posterior /= posterior.sum(axis=1, keepdims=True)
        matrix = estimate_noise_matrix(posterior, codes, count=count, prior=noise.prior_lesions)
    return Classifier(features, _spread(plain * scale, seen, classes), _spread(weights * scale, seen, classes))


def choose_regularization(
    features: NDArray[np.float32], given: NDArray[np.intp], *, group: NDArray[np.intp], candidates: Sequence[float]
) -> float:
    """Choose the inverse L2 strength with the least negative log-likelihood on groups that were held out.

    Args:
        features: (n, f), from a map that knows no label.
        given: (n,) class numbers.
        group: (n,) numbers: what is held out together.
        candidates: a single one needs no look.

    """
    folds = min(CHOOSING_FOLDS, len(np.unique(group)))
    if len(candidates) == 1 or folds < 2:  # noqa: PLR2004 - one to learn from, one to hold out
        return candidates[0]
    rising = sorted(candidates)
    loss = np.zeros(len(rising))
    for learn, held in GroupKFold(folds).split(features, groups=group):
        seen, codes = np.unique(given[learn], return_inverse=True)
        known = held[np.isin(given[held], seen)]
        places = np.searchsorted(seen, given[known])
        weights = np.zeros((len(seen), features.shape[1] + 1))
        for i, c in enumerate(rising):
            inputs, scale = _scaled(features[learn], c)
            penalty = 1 / (c * len(learn))
            start = weights / scale  # of the strength before, in the coordinates of this one
            weights = scale * _minimise(start, inputs, scale, codes=codes, matrix=np.eye(len(seen)), penalty=penalty)
            scores = features[known] @ weights[:, :-1].T + weights[:, -1]
            likelihood = softmax(scores, axis=1)[np.arange(len(known)), places]
            loss[i] -= np.log(np.maximum(likelihood, SMALLEST)).sum()
    return rising[int(loss.argmin())]


def _spread(weights: NDArray[np.float64], seen: NDArray[np.intp], classes: int) -> NDArray[np.float32]:
    """Give every class a column, -inf in the intercept where it was never seen: (features + 1, classes)."""
    full = np.zeros((weights.shape[1], classes), np.float32)
    full[-1] = -np.inf
    full[:, seen] = weights.T
    return full


def _scaled(features: NDArray[np.float32], c: float) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scale features to equal curvature of the penalised loss, and append the constant input."""
    scale = 1 / np.sqrt(CURVATURE * np.square(features).mean(axis=0, dtype=np.float64) + 1 / (c * len(features)))
    constant = np.full((len(features), 1), CONSTANT, np.float32)
    return np.hstack([features * scale.astype(np.float32), constant]), np.append(scale, CONSTANT)


def _minimise(
    start: NDArray[np.float64],
    inputs: NDArray[np.float32],
    scale: NDArray[np.float64],
    *,
    codes: NDArray[np.intp],
    matrix: NDArray[np.float64],
    penalty: float,
) -> NDArray[np.float64]:
    """Minimise -mean log P(given | x) + penalty/2 |weights|² by L-BFGS, for a fixed noise matrix; (k, features + 1)."""
    flat = np.ascontiguousarray(inputs.T)
    likelihood = np.ascontiguousarray(matrix[:, codes], dtype=np.float32)
    ridge = np.append(penalty * np.square(scale[:-1]), 0.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = weights.reshape(start.shape)
        scores = weights.astype(np.float32) @ flat
        scores -= scores.max(axis=0)
        probabilities = np.exp(scores)
        probabilities /= probabilities.sum(axis=0)
        posterior = probabilities * likelihood
        evidence = np.maximum(posterior.sum(axis=0), np.finfo(np.float32).tiny)
        posterior /= evidence
        value = -np.log(evidence).mean(dtype=np.float64) + 0.5 * float((ridge * np.square(weights)).sum())
        slope = ((probabilities - posterior) @ inputs).astype(np.float64) / inputs.shape[0] + ridge * weights
        return value, slope.ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": GRADIENT_TOLERANCE, "ftol": 1e-10}
    best: NDArray[np.float64] = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    return best.reshape(start.shape)
