"""A probe that knows its labels may be wrong.

Softmax regression whose output passes through a noise matrix before it meets the given labels ("forward correction",
Patrini et al. 2017), with the matrix estimated together with the weights. Where the picture is clear and the label
contradicts it, the matrix explains the label and the weights need not bend. Everything is learnt from the rows handed
in, so what a fold holds out has no say, neither directly nor through other images' corrected labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from sklearn.model_selection import GroupKFold

from pipeline.stages.label_noise.features import FeatureMap, fit_map
from pipeline.stages.label_noise.labelled import Array
from pipeline.stages.label_noise.params import Noise, Probe

# The result hardly depends on these: they say when the optimiser may stop and how it is scaled.
GRADIENT_TOLERANCE = 1e-3
MAX_ITERATIONS = 300
CURVATURE = 0.1  # of the loss, a typical p (1 - p): scales the coordinates so that few iterations are needed
CONSTANT = 3.0  # the input that carries the intercept, likewise
CHOOSING_FOLDS = 3  # within what a probe learns from, to choose its strength
SMALLEST = 1e-12  # probability, so that one label cannot decide


@dataclass(frozen=True)
class FittedProbe:
    """A fitted probe.

    features: from vectors and context.
    plain: (features + 1, classes) weights that take the labels at their word; the last row is the intercept; -inf for a
        class that the probe never saw.
    corrected: likewise, that allow for wrong labels.
    noise: (classes, classes), row: true diagnosis, column: given; rows sum to 1.
    """

    features: FeatureMap
    plain: Array
    corrected: Array
    noise: Array

    def predict(self, vectors: Array, context: Array) -> tuple[Array, Array]:
        """Return probabilities of the true diagnosis, plain and corrected, (n, classes) each; 0 for an unseen class."""
        features = self.features.apply(vectors, context)
        scores = [features @ weights[:-1] + weights[-1] for weights in (self.plain, self.corrected)]
        plain, corrected = (softmax(score.astype(np.float64)) for score in scores)
        return plain, corrected


def fit_probe(
    vectors: Array,
    context: Array,
    given: Array,
    *,
    group: Array,
    count: Array,
    classes: int,
    params: Probe,
    noise: Noise,
) -> FittedProbe:
    """Fit features, choose a strength, fit weights and noise matrix.

    Args:
        vectors: (n, d) float32.
        context: (n, numbers) float32.
        given: (n,) class numbers.
        group: (n,) numbers: what is held out together to choose a strength.
        count: (n,) weight in the noise matrix: 1 / images of the lesion, so that a lesion counts once.
        classes: how many there are, seen here or not.
        params: features and regularisation.
        noise: how to estimate the noise matrix.

    """
    features = fit_map(vectors, context, params)
    seen, codes = np.unique(given, return_inverse=True)
    shown = features.apply(vectors, context)
    c = choose_strength(shown, given, group=group, strengths=params.c)
    inputs, scale = _scaled(shown, c)
    penalty = 1 / (c * len(given))
    weights = np.zeros((len(seen), inputs.shape[1]))
    plain = weights = _descend(weights, inputs, scale, codes=codes, matrix=np.eye(len(seen)), penalty=penalty)
    matrix = uniform_noise(len(seen), noise.start)
    for _ in range(noise.rounds):
        weights = _descend(weights, inputs, scale, codes=codes, matrix=matrix, penalty=penalty)
        beliefs = softmax((inputs @ weights.T.astype(np.float32)).astype(np.float64)) * matrix[:, codes].T
        beliefs /= beliefs.sum(axis=1, keepdims=True)
        matrix = estimate_noise(beliefs, codes, count=count, prior=noise.prior_lesions)
    whole = np.eye(classes)
    whole[np.ix_(seen, seen)] = matrix
    spread = [_spread(found * scale, seen, classes) for found in (plain, weights)]
    return FittedProbe(features, spread[0], spread[1], whole)


def choose_strength(features: Array, given: Array, *, group: Array, strengths: Sequence[float]) -> float:
    """Choose the strength whose plain probes are least surprised by labels of groups that they never saw.

    Args:
        features: (n, f) float32, from a map that knows no label.
        given: (n,) class numbers.
        group: (n,) numbers: what is held out together.
        strengths: a single one needs no look.

    """
    folds = min(CHOOSING_FOLDS, len(np.unique(group)))
    if len(strengths) == 1 or folds < 2:  # noqa: PLR2004 - one to learn from, one to be surprised by
        return strengths[0]
    rising = sorted(strengths)
    surprise = np.zeros(len(rising))
    for learn, held in GroupKFold(folds).split(features, groups=group):
        seen, codes = np.unique(given[learn], return_inverse=True)
        known = held[np.isin(given[held], seen)]
        places = np.searchsorted(seen, given[known])
        weights = np.zeros((len(seen), features.shape[1] + 1))
        for i, c in enumerate(rising):
            inputs, scale = _scaled(features[learn], c)
            penalty = 1 / (c * len(learn))
            start = weights / scale  # of the strength before, in the coordinates of this one
            weights = scale * _descend(start, inputs, scale, codes=codes, matrix=np.eye(len(seen)), penalty=penalty)
            scores = features[known] @ weights[:, :-1].T + weights[:, -1]
            chances = softmax(scores)[np.arange(len(known)), places]
            surprise[i] -= np.log(np.maximum(chances, SMALLEST)).sum()
    return rising[int(surprise.argmin())]


def estimate_noise(beliefs: Array, given: Array, *, count: Array, prior: float) -> Array:
    """Estimate P(given | true) from beliefs about the true labels: counts, shrunk towards noise without a shape.

    Args:
        beliefs: (n, k) probability of each true diagnosis, the given label taken into account.
        given: (n,) class numbers.
        count: (n,) how much each row counts.
        prior: weight of the shapeless matrix, in rows, for each true diagnosis.

    """
    counts = np.stack([np.bincount(given, column * count, minlength=beliefs.shape[1]) for column in beliefs.T])
    wrong = 1 - np.trace(counts) / counts.sum()
    matrix = counts + prior * uniform_noise(len(counts), wrong)
    normal: Array = matrix / matrix.sum(axis=1, keepdims=True)
    return normal


def uniform_noise(classes: int, wrong: float) -> Array:
    """Return the noise matrix where a share `wrong` of labels is replaced by any other, each as likely."""
    if classes == 1:
        return np.ones((1, 1))
    off = max(wrong, 1e-6) / (classes - 1)  # never 0: what is impossible cannot be learnt to be possible
    return np.full((classes, classes), off) + np.eye(classes) * (1 - classes * off)


def softmax(scores: Array) -> Array:
    """Turn scores (n, k) into probabilities, row by row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _spread(weights: Array, seen: Array, classes: int) -> Array:
    """Give every class a column, -inf in the intercept where the probe never saw it: (features, classes)."""
    full = np.zeros((weights.shape[1], classes), np.float32)
    full[-1] = -np.inf
    full[:, seen] = weights.T
    return full


def _scaled(features: Array, c: float) -> tuple[Array, Array]:
    """Scale features to equal curvature of the penalised loss, and append the constant input."""
    scale = 1 / np.sqrt(CURVATURE * np.square(features).mean(axis=0, dtype=np.float64) + 1 / (c * len(features)))
    constant = np.full((len(features), 1), CONSTANT, np.float32)
    return np.hstack([features * scale.astype(np.float32), constant]), np.append(scale, CONSTANT)


def _descend(start: Array, inputs: Array, scale: Array, *, codes: Array, matrix: Array, penalty: float) -> Array:
    """Minimise -mean log P(given | x) + penalty/2 |weights|² by L-BFGS, for a fixed noise matrix; (k, features + 1)."""
    flat = np.ascontiguousarray(inputs.T)
    likelihood = np.ascontiguousarray(matrix[:, codes], dtype=np.float32)
    ridge = np.append(penalty * np.square(scale[:-1]), 0.0)

    def loss(weights: Array) -> tuple[float, Array]:
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
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    best: Array = found.x.reshape(start.shape)
    return best
