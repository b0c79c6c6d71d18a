"""Make probabilities mean what they say, without knowing which labels are right.

A regularised probe is too modest, and then blames on itself what the labels got wrong: on HAM10000 it counts half of
the planted errors. So one temperature and the noise matrix are fitted together to the given labels of train, on
out-of-fold probabilities: sharp predictions under a noise matrix explain contradictions that modest ones cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from pipeline.label_noise.params import Noise
from pipeline.label_noise.probe import estimate_noise, softmax, uniform_noise

Array = np.ndarray[Any, Any]

LOG_POWER_BOUNDS = (-1.5, 1.5)  # of the exponent put on probabilities; on real data it is about 0.3
MATRIX_TOLERANCE = 1e-5
MAX_ROUNDS = 100


def calibrate(probabilities: Array, given: Array, *, count: Array, noise: Noise) -> tuple[float, Array]:
    """Find the exponent and the noise matrix that make the given labels most likely.

    Args:
        probabilities: (n, k), out of fold, of the true diagnosis.
        given: (n,) class numbers.
        count: (n,) how much each row counts.
        noise: the share of wrong labels to begin with, and the prior.

    Returns:
        exponent for `sharpen`, and P(given | true), (k, k).

    """
    matrix = uniform_noise(probabilities.shape[1], noise.start)
    exponent = 1.0
    for _ in range(MAX_ROUNDS):
        likelihood = matrix[:, given].T

        def surprise(log_exponent: float, likelihood: Array = likelihood) -> float:
            evidence = (sharpen(probabilities, float(np.exp(log_exponent))) * likelihood).sum(axis=1)
            return -float((count * np.log(evidence)).sum())

        exponent = float(np.exp(minimize_scalar(surprise, bounds=LOG_POWER_BOUNDS, method="bounded").x))
        beliefs = sharpen(probabilities, exponent) * likelihood
        beliefs /= beliefs.sum(axis=1, keepdims=True)
        before, matrix = matrix, estimate_noise(beliefs, given, count=count, prior=noise.prior_lesions)
        if np.abs(matrix - before).max() < MATRIX_TOLERANCE:
            break
    return exponent, matrix


def sharpen(probabilities: Array, exponent: float) -> Array:
    """Raise probabilities to a power and normalise: what a temperature of 1 / exponent does; zeros stay zero."""
    with np.errstate(divide="ignore"):
        return softmax(exponent * np.log(probabilities))
