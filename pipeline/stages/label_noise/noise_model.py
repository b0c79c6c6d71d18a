"""A mixture of two kinds of label noise, fitted by EM.

    p(y | x) = (1 - w) · Σ_z q(z | x) T[z, y]  +  w · g(y | x)        y: given label, z: true diagnosis, x: image
    q(z | x) ∝ Π_i p_i(z | x) ^ a_i                                   a log-linear pool of classifiers

- **Class-conditional noise**: the label errs as the noise matrix T says, whatever the image looks like.
- **Instance-dependent noise**, of mixture weight w: the label is what a weak classifier g takes the image for, so
  errors gather where a weak classifier is wrong and strong ones are not.
- The **pool** (a logarithmic opinion pool, Genest and Zidek 1986) multiplies out-of-fold predictions p_i, each raised
  to a weight a_i: one that knows nothing gets the weight 0; for a single classifier it is an inverse temperature.

All of a, T, w and the choice of g are fitted together to the given labels of train, without knowing which are right. A
regularised classifier is underconfident and then blames on itself what the labels got wrong; sharp predictions under a
noise matrix explain contradictions that flat ones cannot.

Each round of EM (with a conditional maximisation, Meng and Rubin 1993) does, in this order:

    a   ← argmax of the log-likelihood, by L-BFGS                             maximise_pool_weights
    E:  r_z ∝ q(z | x) T[z, y];  c = P(class-conditional | x, y)              e_step
    M:  T[z, y] ∝ Σ c r_z + prior;  w = mean of 1 - c                         m_step
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import softmax

from pipeline.stages.label_noise.dataset import of_given

MAX_POOL_WEIGHT = 5.0
MAX_MIXTURE_WEIGHT = 0.9
LOG_ZERO = -1e4  # stands for the logarithm of a probability of 0
MATRIX_TOLERANCE = 1e-5  # EM has converged when no entry of T moves further
MAX_ROUNDS = 100
MAX_POOL_STEPS = 20  # of L-BFGS in a round
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class NoiseSettings:
    """What the noise model starts from; the defaults were set by `bench.label_noise noise` on seeds it does not report.

    initial_noise_rate: share of wrong labels assumed at first.
    prior_lesions: weight, in lesions a diagnosis, of noise without a shape; shrinks the matrix of rare diagnoses.
    correction_rounds: re-estimations of the matrix within a classifier, each followed by a new fit.
    weak_components: numbers of principal components that weak classifiers see; none: all noise is class-conditional.
    """

    initial_noise_rate: float
    prior_lesions: float = 100.0
    correction_rounds: int = 3
    weak_components: tuple[int, ...] = (4, 8, 16, 32, 64)


class NoiseModel(NamedTuple):
    """A fitted mixture.

    pool_weights: (classifiers,) a; with a weak classifier it is the last, as it has its say in the pool as well.
    noise_matrix: (k, k), T: P(given | true) of class-conditional noise; rows sum to 1.
    mixture_weight: w, of instance-dependent noise; 0 without a weak classifier.
    weak_classifier: number of the weak classifier g; None: there was none to choose from.
    """

    pool_weights: NDArray[np.float64]
    noise_matrix: NDArray[np.float64]
    mixture_weight: float = 0.0
    weak_classifier: int | None = None


@dataclass(frozen=True)
class Observed:
    """What the mixture is fitted to.

    log_probs: (classifiers, n, k) log p_i(z | x).
    weak: (n,) g(y | x) of the given label; 0 without a weak classifier.
    given: (n,) class numbers.
    count: (n,) how much each row counts.
    """

    log_probs: NDArray[np.float64]
    weak: NDArray[np.float64]
    given: NDArray[np.intp]
    count: NDArray[np.float64]


def fit_noise_model(
    pred_probs: NDArray[np.float64],
    given: NDArray[np.intp],
    *,
    count: NDArray[np.float64],
    weak_probs: NDArray[np.float64],
    settings: NoiseSettings,
) -> NoiseModel:
    """Fit pool weights, noise matrix and mixture weight so that the given labels are as likely as can be.

    A weak classifier that tells something of the truth makes labels likelier even if no noise depends on the instance.
    So the chosen one has its say in the pool as well, and of two starts, one that explains the labels by
    instance-dependent noise and one that explains them by the pool, the one that ends likelier is taken.

    Args:
        pred_probs: (classifiers, n, k) probabilities of the true diagnosis, out of fold.
        given: (n,) class numbers.
        count: (n,) how much each row counts.
        weak_probs: (weak classifiers, n, k), out of fold; none: all noise is class-conditional.
        settings: the initial noise rate and the prior.

    """
    alone = Observed(_logarithms(pred_probs), np.zeros(len(given)), given, count)
    class_conditional = run_em(alone, uniform_start(alone, settings), settings)
    if not len(weak_probs):
        return class_conditional
    weak = of_given(weak_probs, given)
    chosen = choose_weak_classifier(alone, class_conditional, weak)
    pooled = _logarithms(np.concatenate([pred_probs, weak_probs[chosen : chosen + 1]]))
    mixture = Observed(pooled, weak[chosen], given, count)
    starts = (
        start_from_instance_dependent_noise(mixture, class_conditional),
        start_from_pool(mixture, settings),
    )
    fits = [run_em(mixture, start, settings) for start in starts]
    best = min(fits, key=lambda fit: -log_likelihood(mixture, fit))
    return best._replace(weak_classifier=chosen)


def log_linear_pool(pred_probs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply predictions (classifiers, n, k), each raised to its weight, and normalise: (n, k); zeros stay zero."""
    return _pool(_logarithms(pred_probs), weights)


def uniform_start(observed: Observed, settings: NoiseSettings) -> NoiseModel:
    """Start from equal pool weights and class-conditional noise without a shape."""
    classifiers, _, classes = observed.log_probs.shape
    matrix = uniform_noise_matrix(classes, settings.initial_noise_rate)
    return NoiseModel(np.full(classifiers, 1 / classifiers), matrix)


def start_from_instance_dependent_noise(observed: Observed, class_conditional: NoiseModel) -> NoiseModel:
    """Start from the fit without the weak classifier: it has no say in the pool, and noise is as much its as can be."""
    outside = class_conditional._replace(pool_weights=np.append(class_conditional.pool_weights, 0.0))
    return _with_best_mixture_weight(observed, outside)


def start_from_pool(observed: Observed, settings: NoiseSettings) -> NoiseModel:
    """Start from the fit where the weak classifier explains labels through the pool, and noise what that leaves."""
    return _with_best_mixture_weight(observed, run_em(observed, uniform_start(observed, settings), settings))


def run_em(observed: Observed, model: NoiseModel, settings: NoiseSettings) -> NoiseModel:
    """Improve pool weights, noise matrix and mixture weight in turn until the matrix stays; a weight of 0 stays 0."""
    for _ in range(MAX_ROUNDS):
        before = model.noise_matrix
        model = model._replace(pool_weights=maximise_pool_weights(observed, model))
        posterior, class_conditional = e_step(observed, model)
        model = m_step(observed, model, posterior, class_conditional, settings)
        if np.abs(model.noise_matrix - before).max() < MATRIX_TOLERANCE:
            break
    return model


def e_step(observed: Observed, model: NoiseModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Say what explains each given label.

    Returns:
        (n, k) P(true | image, given) if the label is of the class-conditional component, and (n,) P(it is of that
        component | image, given).

    """
    joint = _pool(observed.log_probs, model.pool_weights) * _class_conditional(observed, model)
    evidence = joint.sum(axis=1)
    joint /= evidence[:, None]
    return joint, evidence / (evidence + model.mixture_weight * observed.weak)


def m_step(
    observed: Observed,
    model: NoiseModel,
    posterior: NDArray[np.float64],
    class_conditional: NDArray[np.float64],
    settings: NoiseSettings,
) -> NoiseModel:
    """Take the noise matrix and the mixture weight that the E step's expectations make likeliest."""
    matrix = estimate_noise_matrix(
        posterior, observed.given, count=observed.count * class_conditional, prior=settings.prior_lesions
    )
    share = observed.count / observed.count.sum()
    return model._replace(noise_matrix=matrix, mixture_weight=float(share @ (1 - class_conditional)))


def maximise_pool_weights(observed: Observed, model: NoiseModel) -> NDArray[np.float64]:
    """Minimise the mean negative log-likelihood over the pool weights, all else fixed, by L-BFGS: (classifiers,)."""
    share = observed.count / observed.count.sum()
    likelihood = _class_conditional(observed, model) + model.mixture_weight * observed.weak[:, None]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pooled = _pool(observed.log_probs, weights)
        evidence = np.maximum((pooled * likelihood).sum(axis=1), TINY)
        pull = pooled - pooled * likelihood / evidence[:, None]
        gradient = np.array([share @ (pull * of_classifier).sum(axis=1) for of_classifier in observed.log_probs])
        return -float(share @ np.log(evidence)), gradient

    start = model.pool_weights
    bounds = [(0.0, MAX_POOL_WEIGHT)] * len(start)
    options = {"maxiter": MAX_POOL_STEPS}
    weights: NDArray[np.float64] = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return weights


def log_likelihood(observed: Observed, model: NoiseModel) -> float:
    """Return Σ count · log p(given | image)."""
    return _mixture_log_likelihood(observed.count, _evidence(observed, model), observed.weak, model.mixture_weight)


def choose_weak_classifier(observed: Observed, model: NoiseModel, weak: NDArray[np.float64]) -> int:
    """Return the number of the weak classifier whose mixture with a class-conditional model is likeliest.

    Args:
        observed: labels and strong classifiers.
        model: fitted to them.
        weak: (weak classifiers, n) g(y | x) of the given label.

    """
    evidence = _evidence(observed, model)
    return int(np.argmin([_best_mixture_weight(observed.count, evidence, one)[1] for one in weak]))


def estimate_noise_matrix(
    posterior: NDArray[np.float64], given: NDArray[np.intp], *, count: NDArray[np.float64], prior: float
) -> NDArray[np.float64]:
    """Estimate P(given | true): expected counts, shrunk towards noise without a shape; (k, k), rows sum to 1.

    Args:
        posterior: (n, k) probability of each true diagnosis, the given label taken into account.
        given: (n,) class numbers.
        count: (n,) how much each row counts.
        prior: weight of the shapeless matrix, in rows, for each true diagnosis.

    """
    counts = np.stack([np.bincount(given, column * count, minlength=posterior.shape[1]) for column in posterior.T])
    wrong = 1 - np.trace(counts) / counts.sum()
    matrix = counts + prior * uniform_noise_matrix(len(counts), wrong)
    normal: NDArray[np.float64] = matrix / matrix.sum(axis=1, keepdims=True)
    return normal


def uniform_noise_matrix(classes: int, noise_rate: float) -> NDArray[np.float64]:
    """Return the matrix where a share `noise_rate` of labels is replaced by any other, each as likely: (k, k)."""
    if classes == 1:
        return np.ones((1, 1))
    off = max(noise_rate, 1e-6) / (classes - 1)  # never 0: what is impossible cannot be learnt to be possible
    return np.full((classes, classes), off) + np.eye(classes) * (1 - classes * off)


def _pool(log_probs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    pooled: NDArray[np.float64] = softmax(np.tensordot(weights, log_probs, 1), axis=1)
    return pooled


def _class_conditional(observed: Observed, model: NoiseModel) -> NDArray[np.float64]:
    """Return (1 - w) T[z, y] of each given label y, (n, k)."""
    likelihood: NDArray[np.float64] = (1 - model.mixture_weight) * model.noise_matrix[:, observed.given].T
    return likelihood


def _evidence(observed: Observed, model: NoiseModel) -> NDArray[np.float64]:
    """Return Σ_z q(z | x) T[z, y]: how likely each label is under class-conditional noise alone, (n,)."""
    pooled = _pool(observed.log_probs, model.pool_weights)
    evidence: NDArray[np.float64] = (pooled * model.noise_matrix[:, observed.given].T).sum(axis=1)
    return evidence


def _with_best_mixture_weight(observed: Observed, model: NoiseModel) -> NoiseModel:
    weight, _ = _best_mixture_weight(observed.count, _evidence(observed, model), observed.weak)
    return model._replace(mixture_weight=weight)


def _best_mixture_weight(
    count: NDArray[np.float64], evidence: NDArray[np.float64], weak: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the likeliest mixture weight, all else fixed, and the negative log-likelihood there."""
    optimum = minimize_scalar(
        lambda weight: -_mixture_log_likelihood(count, evidence, weak, weight), bounds=(0, MAX_MIXTURE_WEIGHT)
    )
    return float(optimum.x), float(optimum.fun)


def _mixture_log_likelihood(
    count: NDArray[np.float64], evidence: NDArray[np.float64], weak: NDArray[np.float64], weight: float
) -> float:
    return float(count @ np.log(np.maximum((1 - weight) * evidence + weight * weak, TINY)))


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(probabilities, out=np.full(probabilities.shape, LOG_ZERO), where=probabilities > 0)
