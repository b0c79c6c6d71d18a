"""A mixture of two kinds of label noise, fitted by EM, and averaged over what the labels cannot tell.

    p(y | x) = (1 - w) · Σ_z q(z | x) T[z, y]  +  w · Σ_j v_j g_j(y | x)     y: given label, z: true diagnosis, x: image
    q(z | x) ∝ Π_i p_i(z | x) ^ a_i                                           a log-linear pool of classifiers

- **Class-conditional noise**: the label errs as the noise matrix T says, whatever the image looks like.
- **Instance-dependent noise**, of mixture weight w: the label is what a weak classifier g_j takes the image for, so
  errors gather where weak classifiers are wrong and strong ones are not.
- The **pool** (a logarithmic opinion pool, Genest and Zidek 1986) multiplies out-of-fold predictions p_i, each raised
  to a weight a_i; their sum is how sure the pool is. A regularised classifier is underconfident and then blames on
  itself what the labels got wrong; sharp predictions under a noise matrix explain contradictions that flat ones cannot.

All of it is fitted to the given labels of train, without knowing which are right. Each part has a prior, so that with
few labels it is what the prior says and with many what the labels say (hierarchical models, Gelman and Hill 2006):

    a_i = s · b_i · exp(u_i),  u_i ~ N(0, POOL_SPREAD²)       shares b_i as they come, one sharpness s of all:
                                                              log s ~ N(0, SHARPNESS_SPREAD²)
    T[z, ·] ~ Dirichlet(prior_labels · R[z, ·])               R: noise without a shape, or of rank one:
    R[z, y] = r_z m_y / (1 - m_z) for y ≠ z                   how often z is mislabelled, how often y is put by mistake
    r_z shrunk to the mean rate by RATE_PRIOR labels, m to equal shares by TARGET_PRIOR errors; the mean rate to
    NOISE_RATE by NOISE_RATE_PRIOR labels, and none above MAX_NOISE_RATE: labels that are mostly wrong name nothing
    v ~ Dirichlet: WEAK_PRIOR labels on each weak classifier

Whether noise has a shape, and whether any depends on the instance, is not decided but averaged over (Bayesian model
averaging, Hoeting et al. 1999): four hypotheses h, each fitted by itself, each counting by its evidence,

    log evidence(h) ≈ log-likelihood - (k - 1) / 2 · log(1 + errors / SHAPE_PRIOR) if it has a shape - 1 if it has w

So a few hundred labels that say nothing of a shape are judged as if noise had none, and where they tell of it they are
judged by it; nothing switches with the number of labels.

Each round of EM (with a conditional maximisation, Meng and Rubin 1993) does, in this order:

    a   ← argmax of the log-posterior, by L-BFGS                              maximise_pool_weights
    E:  r_z ∝ q(z | x) T[z, y];  c = P(class-conditional | x, y)              e_step
    M:  T[z, ·] ∝ Σ c r_z + prior_labels · R[z, ·];  w, v likewise            m_step
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import softmax

from pipeline.core.progress import advance, step
from pipeline.stages.label_noise.dataset import of_given

# Set by `bench.label_noise noise` on seeds, lesions and sizes that it does not report.
NOISE_RATE = 0.1  # where EM starts, and what is thought of it before labels tell
NOISE_RATE_PRIOR = 40.0  # labels
MAX_NOISE_RATE = 0.5
INITIAL_MIXTURE_WEIGHT = 0.05
RATE_PRIOR = 30.0  # labels
TARGET_PRIOR = 2.0  # errors
SHAPE_PRIOR = 20.0  # errors
WEAK_PRIOR = 1.0  # labels
POOL_SPREAD = 0.3
SHARPNESS_SPREAD = 0.5
WEAKER = 25.0  # nats of log-likelihood that the pool is ahead of a classifier that is weak
MAX_LOG_SHARPNESS = 2.5
MAX_LOG_RATIO = 3.0  # of a classifier's weight to its share of the pool
MAX_MIXTURE_WEIGHT = 0.9
LOG_ZERO = -1e4  # stands for the logarithm of a probability of 0
LEAST = 1e-6  # of a pseudo-count: what is impossible cannot be learnt to be possible
MATRIX_TOLERANCE = 3e-4  # EM has converged when no entry of T moves further
MAX_ROUNDS = 60
MAX_POOL_STEPS = 8  # of L-BFGS in a round
BALANCING_STEPS = 50  # of the fixed point of m
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class NoiseSettings:
    """What the noise model assumes; the defaults were set by `bench.label_noise noise` on seeds it does not report.

    prior_labels: weight, in labels of a diagnosis, of what a noise matrix is shrunk towards.
    weak_components: numbers of principal components that weak classifiers see; none: all noise is class-conditional.
    """

    prior_labels: float = 300.0
    weak_components: tuple[int, ...] = (4, 8, 16, 32, 64)


class NoiseModel(NamedTuple):
    """A fitted mixture under one hypothesis.

    pool_weights: (classifiers,) a.
    noise_matrix: (k, k), T: P(given | true) of class-conditional noise; rows sum to 1.
    mixture_weight: w, of instance-dependent noise; 0 without weak classifiers.
    weak_weights: (weak classifiers,) v; sum to 1, or are 0 where no noise depends on the instance.
    shaped: whether T is shrunk towards noise of rank one, or towards noise without a shape.
    evidence: weight among the hypotheses; all of them sum to 1.
    """

    pool_weights: NDArray[np.float64]
    noise_matrix: NDArray[np.float64]
    mixture_weight: float
    weak_weights: NDArray[np.float64]
    shaped: bool
    evidence: float = 1.0


@dataclass(frozen=True)
class Observed:
    """What the mixture is fitted to.

    log_probs: (classifiers, n, k) log p_i(z | x).
    shares: (classifiers,) b_i.
    weak: (weak classifiers, n) g_j(y | x) of the given label.
    given: (n,) class numbers.
    count: (n,) how much each row counts.
    """

    log_probs: NDArray[np.float64]
    shares: NDArray[np.float64]
    weak: NDArray[np.float64]
    given: NDArray[np.intp]
    count: NDArray[np.float64]


def fit_noise_models(
    pred_probs: NDArray[np.float64],
    given: NDArray[np.intp],
    *,
    shares: NDArray[np.float64],
    count: NDArray[np.float64],
    weak_probs: NDArray[np.float64],
    settings: NoiseSettings,
) -> list[NoiseModel]:
    """Fit pool weights, noise matrix and mixture weights under each hypothesis, and weigh these by their evidence.

    A classifier that few components suffice makes labels likelier even if no noise depends on the instance. So one that
    explains them nearly as well as the pool, each with a noise matrix of its own, is not weak and is left out.

    Args:
        pred_probs: (classifiers, n, k) probabilities of the true diagnosis, out of fold.
        given: (n,) class numbers.
        shares: (classifiers,) of the pool, before labels say otherwise.
        count: (n,) how much each row counts.
        weak_probs: (weak classifiers, n, k), out of fold; none: all noise is class-conditional.
        settings: the priors.

    """
    observed = Observed(_logarithms(pred_probs), shares, of_given(weak_probs, given), given, count)
    nobody = np.zeros(len(weak_probs), bool)
    with step("noise models", 2 + len(weak_probs) + 2 * bool(len(weak_probs)), unit="fits"):
        models = [run_em(observed, start(observed, nobody, shaped=shaped), settings) for shaped in (False, True)]
        weak = find_weak(observed, models[-1], weak_probs, settings)
        if weak.any():
            models += [run_em(observed, start(observed, weak, shaped=shaped), settings) for shaped in (False, True)]
    weights = softmax([log_evidence(observed, model) for model in models])
    return [model._replace(evidence=float(weight)) for model, weight in zip(models, weights, strict=True)]


def log_linear_pool(pred_probs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply predictions (classifiers, n, k), each raised to its weight, and normalise: (n, k); zeros stay zero."""
    return _pool(_logarithms(pred_probs), weights)


def find_weak(
    observed: Observed, pool: NoiseModel, weak_probs: NDArray[np.float64], settings: NoiseSettings
) -> NDArray[np.bool_]:
    """Say which weak classifiers are weak: those that explain the labels much worse than the pool, (weak classifiers,).

    Args:
        observed: labels and strong classifiers.
        pool: of class-conditional noise with a shape, fitted to them.
        weak_probs: (weak classifiers, n, k).
        settings: the priors.

    """
    reached = []
    for one in weak_probs:
        alone = Observed(_logarithms(one[None]), np.ones(1), observed.weak[:0], observed.given, observed.count)
        model = run_em(alone, start(alone, np.zeros(0, bool), shaped=True), settings)
        reached.append(log_likelihood(alone, model))
    return np.array(reached, float) < log_likelihood(observed, pool) - WEAKER


def start(observed: Observed, weak: NDArray[np.bool_], *, shaped: bool) -> NoiseModel:
    """Start from the shares as they come, noise without a shape, and weak classifiers that count the same.

    Args:
        observed: what is fitted to.
        weak: (weak classifiers,) which of them labels may follow; none: all noise is class-conditional.
        shaped: what the noise matrix is shrunk towards.

    """
    classes = observed.log_probs.shape[2]
    return NoiseModel(
        pool_weights=observed.shares,
        noise_matrix=uniform_noise_matrix(classes, NOISE_RATE),
        mixture_weight=INITIAL_MIXTURE_WEIGHT if weak.any() else 0.0,
        weak_weights=weak / max(int(weak.sum()), 1),
        shaped=shaped,
    )


def run_em(observed: Observed, model: NoiseModel, settings: NoiseSettings) -> NoiseModel:
    """Improve pool weights, noise matrix and mixture weights in turn until the matrix stays."""
    for _ in range(MAX_ROUNDS):
        before = model.noise_matrix
        model = model._replace(pool_weights=maximise_pool_weights(observed, model))
        posterior, class_conditional = e_step(observed, model)
        model = m_step(observed, model, posterior, class_conditional, settings)
        if np.abs(model.noise_matrix - before).max() < MATRIX_TOLERANCE:
            break
    advance(1)
    return model


def e_step(observed: Observed, model: NoiseModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Say what explains each given label.

    Returns:
        (n, k) P(true | image, given) if the label is of the class-conditional component, and (n,) P(it is of that
        component | image, given).

    """
    joint = _pool(observed.log_probs, model.pool_weights) * _class_conditional(observed, model)
    evidence = np.maximum(joint.sum(axis=1), TINY)
    joint /= evidence[:, None]
    return joint, evidence / (evidence + _instance_dependent(observed, model))


def m_step(
    observed: Observed,
    model: NoiseModel,
    posterior: NDArray[np.float64],
    class_conditional: NDArray[np.float64],
    settings: NoiseSettings,
) -> NoiseModel:
    """Take the noise matrix and the weak classifiers' weights that the E step's expectations make likeliest.

    The mixture weight is the likeliest given these: EM would take hundreds of rounds to find that it is 0.
    """
    counts = count_labels(posterior, observed.given, observed.count * class_conditional)
    matrix = counts + settings.prior_labels * np.maximum(_expected_matrix(counts, shaped=model.shaped), LEAST)
    model = model._replace(noise_matrix=matrix / matrix.sum(axis=1, keepdims=True))
    if not model.weak_weights.any():
        return model
    weighted = model.weak_weights[:, None] * observed.weak
    dependent = observed.count * (1 - class_conditional)
    by_weak = (weighted / np.maximum(weighted.sum(axis=0), TINY)) @ dependent + WEAK_PRIOR * (model.weak_weights > 0)
    model = model._replace(weak_weights=by_weak / by_weak.sum())
    return model._replace(mixture_weight=_likeliest_mixture_weight(observed, model))


def maximise_pool_weights(observed: Observed, model: NoiseModel) -> NDArray[np.float64]:
    """Maximise the log-likelihood and the prior over the pool weights, all else fixed, by L-BFGS: (classifiers,)."""
    likelihood = _class_conditional(observed, model)
    dependent, shares = _instance_dependent(observed, model), observed.shares
    spread = np.append(SHARPNESS_SPREAD, np.full(len(shares), POOL_SPREAD))

    def loss(parts: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = shares * np.exp(parts[0] + parts[1:])
        pooled = _pool(observed.log_probs, weights)
        alone = (pooled * likelihood).sum(axis=1)
        evidence = np.maximum(alone + dependent, TINY)
        pull = pooled * (likelihood - alone[:, None]) * (observed.count / evidence)[:, None]
        slopes = weights * np.array([(pull * of_classifier).sum() for of_classifier in observed.log_probs])
        value = -float(observed.count @ np.log(evidence)) + 0.5 * float(np.square(parts / spread).sum())
        return value, np.square(1 / spread) * parts - np.append(slopes.sum(), slopes)

    bounds = [(-MAX_LOG_SHARPNESS, MAX_LOG_SHARPNESS)] + [(-MAX_LOG_RATIO, MAX_LOG_RATIO)] * len(shares)
    ratios = np.log(model.pool_weights / shares)
    first = np.append(ratios.mean(), ratios - ratios.mean())
    options = {"maxiter": MAX_POOL_STEPS}
    parts = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    weights: NDArray[np.float64] = shares * np.exp(parts[0] + parts[1:])
    return weights


def log_likelihood(observed: Observed, model: NoiseModel) -> float:
    """Return Σ count · log p(given | image)."""
    pooled = _pool(observed.log_probs, model.pool_weights)
    evidence = (pooled * _class_conditional(observed, model)).sum(axis=1) + _instance_dependent(observed, model)
    return float(observed.count @ np.log(np.maximum(evidence, TINY)))


def log_evidence(observed: Observed, model: NoiseModel) -> float:
    """Return the log-likelihood less what a hypothesis has to be likelier by, as it can bend to more."""
    posterior, class_conditional = e_step(observed, model)
    counts = count_labels(posterior, observed.given, observed.count * class_conditional)
    price = float(model.weak_weights.any())
    if model.shaped:
        price += (len(counts) - 1) / 2 * np.log1p((counts.sum() - np.trace(counts)) / SHAPE_PRIOR)
    return log_likelihood(observed, model) - price


def count_labels(
    posterior: NDArray[np.float64], given: NDArray[np.intp], count: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the expected numbers of labels by true and given diagnosis, (k, k).

    Args:
        posterior: (n, k) probability of each true diagnosis, the given label taken into account.
        given: (n,) class numbers.
        count: (n,) how much each row counts.

    """
    return np.stack([np.bincount(given, column * count, minlength=posterior.shape[1]) for column in posterior.T])


def rank_one_noise_matrix(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R of the module's formula: noise that knows how often each diagnosis is mislabelled and put by mistake.

    It takes 2k numbers where a noise matrix takes k²: a handful of errors tell that melanoma and keratosis receive
    them and haemangioma does not. m is the maximum-likelihood solution of Zermelo's fixed point.

    Args:
        counts: (k, k) expected numbers of labels by true and given diagnosis.

    Returns:
        (k, k), rows sum to 1.

    """
    classes = len(counts)
    if classes == 1:
        return np.ones((1, 1))
    other = 1 - np.eye(classes)
    rates = ((counts * other).sum(axis=1) + RATE_PRIOR * _mean_rate(counts)) / (counts.sum(axis=1) + RATE_PRIOR)
    rates = np.minimum(rates, MAX_NOISE_RATE)
    errors = counts * other + TARGET_PRIOR / (classes * (classes - 1)) * other
    targets = np.full(classes, 1 / classes)
    for _ in range(BALANCING_STEPS):
        targets = errors.sum(axis=0) / (other @ (errors.sum(axis=1) / (other @ targets)))
        targets /= targets.sum()
    matrix = rates[:, None] * targets * other / (other @ targets)[:, None] + np.diag(1 - rates)
    normal: NDArray[np.float64] = matrix
    return normal


def uniform_noise_matrix(classes: int, noise_rate: float) -> NDArray[np.float64]:
    """Return the matrix where a share `noise_rate` of labels is replaced by any other, each as likely: (k, k)."""
    if classes == 1:
        return np.ones((1, 1))
    off = max(noise_rate, LEAST) / (classes - 1)
    return np.full((classes, classes), off) + np.eye(classes) * (1 - classes * off)


def _likeliest_mixture_weight(observed: Observed, model: NoiseModel) -> float:
    alone = model._replace(mixture_weight=0.0)
    pooled = _pool(observed.log_probs, model.pool_weights)
    conditional = (pooled * _class_conditional(observed, alone)).sum(axis=1)
    dependent = model.weak_weights @ observed.weak

    def loss(weight: float) -> float:
        evidence = np.maximum((1 - weight) * conditional + weight * dependent, TINY)
        return -float(observed.count @ np.log(evidence))

    return float(minimize_scalar(loss, bounds=(0, MAX_MIXTURE_WEIGHT)).x)


def _expected_matrix(counts: NDArray[np.float64], *, shaped: bool) -> NDArray[np.float64]:
    return rank_one_noise_matrix(counts) if shaped else uniform_noise_matrix(len(counts), _mean_rate(counts))


def _mean_rate(counts: NDArray[np.float64]) -> float:
    wrong = counts.sum() - np.trace(counts) + NOISE_RATE_PRIOR * NOISE_RATE
    return float(min(wrong / (counts.sum() + NOISE_RATE_PRIOR), MAX_NOISE_RATE))


def _pool(log_probs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    pooled: NDArray[np.float64] = softmax(np.tensordot(weights, log_probs, 1), axis=1)
    return pooled


def _class_conditional(observed: Observed, model: NoiseModel) -> NDArray[np.float64]:
    """Return (1 - w) T[z, y] of each given label y, (n, k)."""
    likelihood: NDArray[np.float64] = (1 - model.mixture_weight) * model.noise_matrix[:, observed.given].T
    return likelihood


def _instance_dependent(observed: Observed, model: NoiseModel) -> NDArray[np.float64]:
    """Return w Σ_j v_j g_j(y | x) of each given label y, (n,)."""
    likelihood: NDArray[np.float64] = model.mixture_weight * (model.weak_weights @ observed.weak)
    return likelihood


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(probabilities, out=np.full(probabilities.shape, LOG_ZERO), where=probabilities > 0)
