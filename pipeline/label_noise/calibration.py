"""Pool the opinions of several probes, and make the result mean what it says, without knowing which labels are right.

A regularised probe is too modest, and then blames on itself what the labels got wrong: on HAM10000 it counts half of
the planted errors. So how much each probe counts and the noise matrix are fitted together to the given labels of train,
on out-of-fold probabilities: sharp predictions under a noise matrix explain contradictions that modest ones cannot.

Opinions are multiplied, each raised to a power of its own (a logarithmic opinion pool, Genest and Zidek 1986): of
encoders that see different things each corrects the others, and one that knows nothing gets the power 0. For a single
probe the power is an inverse temperature.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from pipeline.label_noise.labelled import Array
from pipeline.label_noise.params import Noise
from pipeline.label_noise.probe import estimate_noise, softmax, uniform_noise

LARGEST_POWER = 5.0
IMPOSSIBLE = -1e4  # the logarithm of a probability of 0
MATRIX_TOLERANCE = 1e-5
MAX_ROUNDS = 100
MAX_STEPS = 20  # of the powers in a round


def calibrate(opinions: Array, given: Array, *, count: Array, noise: Noise) -> tuple[Array, Array]:
    """Find the powers and the noise matrix that make the given labels most likely.

    Args:
        opinions: (probes, n, k) probabilities of the true diagnosis, out of fold.
        given: (n,) class numbers.
        count: (n,) how much each row counts.
        noise: the share of wrong labels to begin with, and the prior.

    Returns:
        powers for `pool`, (probes,), and P(given | true), (k, k).

    """
    logs, share = _logarithms(opinions), count / count.sum()
    matrix = uniform_noise(opinions.shape[2], noise.start)
    powers = np.full(len(opinions), 1 / len(opinions))
    for _ in range(MAX_ROUNDS):
        likelihood = matrix[:, given].T
        powers = _fit_powers(powers, logs, likelihood=likelihood, share=share)
        beliefs = softmax(np.tensordot(powers, logs, 1)) * likelihood
        beliefs /= beliefs.sum(axis=1, keepdims=True)
        before, matrix = matrix, estimate_noise(beliefs, given, count=count, prior=noise.prior_lesions)
        if np.abs(matrix - before).max() < MATRIX_TOLERANCE:
            break
    return powers, matrix


def pool(opinions: Array, powers: Array) -> Array:
    """Multiply opinions (probes, n, k), each raised to its power, and normalise: (n, k); zeros stay zero."""
    return softmax(np.tensordot(powers, _logarithms(opinions), 1))


def _fit_powers(start: Array, logs: Array, *, likelihood: Array, share: Array) -> Array:
    """Minimise -Σ share · log Σ_true P(true | x) P(given | true) over the powers, for a fixed noise matrix."""

    def surprise(powers: Array) -> tuple[float, Array]:
        pooled = softmax(np.tensordot(powers, logs, 1))
        evidence = np.maximum((pooled * likelihood).sum(axis=1), np.finfo(np.float64).tiny)
        pull = pooled - pooled * likelihood / evidence[:, None]
        slope = np.array([share @ (pull * of_probe).sum(axis=1) for of_probe in logs])
        return -float(share @ np.log(evidence)), slope

    bounds = [(0.0, LARGEST_POWER)] * len(start)
    found = minimize(surprise, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_STEPS})
    best: Array = found.x
    return best


def _logarithms(probabilities: Array) -> Array:
    return np.log(probabilities, out=np.full(probabilities.shape, IMPOSSIBLE), where=probabilities > 0)
