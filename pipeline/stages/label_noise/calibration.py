"""Pool the opinions of several probes, and make the result mean what it says, without knowing which labels are right.

A regularised probe is too modest, and then blames on itself what the labels got wrong: on HAM10000 it counts half of
the planted errors. So how much each probe counts and the noise matrix are fitted together to the given labels of train,
on out-of-fold probabilities: sharp predictions under a noise matrix explain contradictions that modest ones cannot.

Opinions are multiplied, each raised to a power of its own (a logarithmic opinion pool, Genest and Zidek 1986): of
encoders that see different things each corrects the others, and one that knows nothing gets the power 0. For a single
probe the power is an inverse temperature.

Who labels with care errs as the noise matrix says, whatever the picture looks like. Who labels in haste gives what a
brief look suggests, so errors gather where a weak probe is wrong and strong ones are not. What share of labels is so,
and which of several weak probes the hasty err like, is fitted to the labels too: errors of that shape are found where
they are, and where there are none the share is next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from pipeline.stages.label_noise.labelled import Array, of_given
from pipeline.stages.label_noise.params import Noise
from pipeline.stages.label_noise.probe import estimate_noise, softmax, uniform_noise

LARGEST_POWER = 5.0
IMPOSSIBLE = -1e4  # the logarithm of a probability of 0
MATRIX_TOLERANCE = 1e-5
MAX_ROUNDS = 100
MAX_STEPS = 20  # of the powers in a round
MOST_HASTY = 0.9  # share of labels


class Calibration(NamedTuple):
    """What makes the given labels most likely.

    powers: for `pool`, of the probes and, if there is a glance, of it as one more.
    matrix: (k, k), P(given | true) of labels given with care.
    glance: number of the weak probe that errs most like those who label in haste; None: there was none to choose from.
    hasty: share of the labels that are given at a glance.
    """

    powers: Array
    matrix: Array
    glance: int | None
    hasty: float


def calibrate(opinions: Array, given: Array, *, count: Array, noise: Noise, glances: Array) -> Calibration:
    """Find the powers, the noise matrix and the share of hasty labels that make the given labels most likely.

    A weak probe that tells something of the truth makes labels likelier even if nobody labelled in haste. So the one
    that is chosen has its say in the pool as well, and of two ways to explain the labels, one that begins with haste
    and one that begins with the opinion, the likelier is taken.

    Args:
        opinions: (probes, n, k) probabilities of the true diagnosis, out of fold.
        given: (n,) class numbers.
        count: (n,) how much each row counts.
        noise: the share of wrong labels to begin with, and the prior.
        glances: (weak probes, n, k) what a brief look may take each picture for, out of fold; none: all take care.

    """
    labels = _Labels(_logarithms(opinions), np.zeros(len(given)), given, count, noise)
    careful = labels.settle(labels.start())
    if not len(glances):
        return Calibration(careful.powers, careful.matrix, None, 0.0)
    seen = of_given(glances, given)
    chances = labels.with_care(careful)
    best = int(np.argmin([labels.most_likely_share(chances, one)[1] for one in seen]))
    pooled = _logarithms(np.concatenate([opinions, glances[best : best + 1]]))
    labels = replace(labels, logs=pooled, glance=seen[best])
    in_haste = careful._replace(powers=np.append(careful.powers, 0.0))
    as_opinion = labels.settle(labels.start())
    settled = [labels.settle(labels.with_haste(begin)) for begin in (in_haste, as_opinion)]
    likelier = min(settled, key=labels.surprise)
    return Calibration(likelier.powers, likelier.matrix, best, likelier.hasty)


def pool(opinions: Array, powers: Array) -> Array:
    """Multiply opinions (probes, n, k), each raised to its power, and normalise: (n, k); zeros stay zero."""
    return softmax(np.tensordot(powers, _logarithms(opinions), 1))


class _Fit(NamedTuple):
    """Powers of the pool, noise matrix of careful labels, share of hasty ones."""

    powers: Array
    matrix: Array
    hasty: float


@dataclass(frozen=True)
class _Labels:
    """Labels and what may explain them.

    logs: (probes, n, k) of the opinions.
    glance: (n,) probability that a brief look gives this label.
    given: (n,) class numbers.
    count: (n,) how much each row counts.
    noise: the share of wrong labels to begin with, and the prior.
    """

    logs: Array
    glance: Array
    given: Array
    count: Array
    noise: Noise

    def start(self) -> _Fit:
        """Begin with equal powers and noise without a shape."""
        return _Fit(np.full(len(self.logs), 1 / len(self.logs)), uniform_noise(self.logs.shape[2], self.noise.start), 0)

    def settle(self, fit: _Fit) -> _Fit:
        """Improve powers, matrix and share in turn, until the matrix stays as it is; a share of 0 stays 0."""
        powers, matrix, hasty = fit
        share = self.count / self.count.sum()
        for _ in range(MAX_ROUNDS):
            likelihood = (1 - hasty) * matrix[:, self.given].T
            powers = _fit_powers(powers, self.logs, likelihood=likelihood + hasty * self.glance[:, None], share=share)
            beliefs = softmax(np.tensordot(powers, self.logs, 1)) * likelihood
            careful = beliefs.sum(axis=1)
            beliefs /= careful[:, None]
            with_care = careful / (careful + hasty * self.glance)
            before = matrix
            matrix = estimate_noise(beliefs, self.given, count=self.count * with_care, prior=self.noise.prior_lesions)
            hasty = float(share @ (1 - with_care))
            if np.abs(matrix - before).max() < MATRIX_TOLERANCE:
                break
        return _Fit(powers, matrix, hasty)

    def with_haste(self, fit: _Fit) -> _Fit:
        """Put in the most likely share of hasty labels, all else as it is."""
        return fit._replace(hasty=self.most_likely_share(self.with_care(fit), self.glance)[0])

    def most_likely_share(self, careful: Array, glance: Array) -> tuple[float, float]:
        """Return the share of hasty labels that makes them most likely, and how unlikely they are then."""
        found = minimize_scalar(lambda hasty: self._surprise(careful, glance, hasty), bounds=(0, MOST_HASTY))
        return float(found.x), float(found.fun)

    def surprise(self, fit: _Fit) -> float:
        """Say how unlikely the labels are."""
        return self._surprise(self.with_care(fit), self.glance, fit.hasty)

    def with_care(self, fit: _Fit) -> Array:
        """Return the probability of each label if it is given with care, (n,)."""
        chances: Array = (softmax(np.tensordot(fit.powers, self.logs, 1)) * fit.matrix[:, self.given].T).sum(axis=1)
        return chances

    def _surprise(self, careful: Array, glance: Array, hasty: float) -> float:
        chances = (1 - hasty) * careful + hasty * glance
        return -float(self.count @ np.log(np.maximum(chances, np.finfo(np.float64).tiny)))


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
