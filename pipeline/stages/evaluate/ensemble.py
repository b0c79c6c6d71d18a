"""Members joined into one: the linear pool p = sum_m w_m p_m, each p at its own temperature; or stacking.

A temperature divides the logits, which moves no image to another class and makes confidences honest (Guo et al., On
Calibration of Modern Neural Networks, 2017): of every member before the pool, which would otherwise listen to whoever
is most sure, and of the pool after, since the mean of honest members is not sure enough (Rahaman and Thiery,
Uncertainty Quantification and Deep Ensembles, 2021).

Weights and temperatures are fitted on validation, and on nothing else. Weights answer to the log loss averaged over
classes, since balanced accuracy is the headline; temperatures to that of images as they come, since so is calibration.
Stacking is a softmax regression on the members' log-probabilities (Wolpert, Stacked Generalization, 1992), fitted on
their out-of-fold predictions of train; its temperature, like a pool's, on validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from pipeline.core.errors import UserError
from pipeline.core.progress import track
from pipeline.stages.evaluate.metrics import SMALLEST, balanced_accuracy
from pipeline.stages.evaluate.scored import Model, OutOfFold, Truth

TEMPERATURES = (0.1, 10.0)  # within which the best is sought; of predictions worse than chance it has no end
CLOSE = 1e-4  # of weights: log loss that the best ones could still save, in nats
STEPS = 10_000  # of the weights' fit, at most
ROUNDS = 50  # of greedy selection
STACKING = "stacking"
STACKING_C = 0.01  # inverse strength of its L2 penalty
MOST = 6  # members of which every subset is scored; of more, all and all but one


@dataclass(frozen=True)
class Calibrated:
    """Probabilities, (images, classes), at the temperature that suits validation, and as they were before."""

    probabilities: NDArray[np.float64]
    temperature: float
    before: NDArray[np.float64]


@dataclass(frozen=True)
class Pool(Calibrated):
    """Members joined; weights, (members,), are not negative and sum to 1; None: they are joined by stacking."""

    weights: NDArray[np.float64] | None


def calibrate(probabilities: NDArray[np.float64], validation: Truth) -> Calibrated:
    """Bring probabilities, (images, classes), to the temperature with the least log loss on validation."""
    temperature = fit_temperature(probabilities[validation.rows], validation.actual)
    return Calibrated(at_temperature(probabilities, temperature), temperature, probabilities)


def fit_temperature(probabilities: NDArray[np.float64], actual: NDArray[np.integer]) -> float:
    """Find the temperature with the least log loss, which is convex in its inverse and so has one minimum.

    Of n images the labels are trusted as far as 1 - 1 / (n + 2), the rest goes to all classes alike: as Platt (1999)
    has it, so that some dozen images without an error do not make a network all but certain.

    Args:
        probabilities: (images, classes).
        actual: (images,).

    """
    logits, rows, doubt = _logs(probabilities), np.arange(len(actual)), 1 / (len(actual) + 2)

    def log_loss(log_temperature: float) -> float:
        logs = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((1 - doubt) * logs[rows, actual].mean() + doubt * logs.mean())

    found = minimize_scalar(log_loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


def at_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Divide the logits by a temperature: below 1 is surer, above 1 less sure."""
    scaled: NDArray[np.float64] = np.exp(log_softmax(_logs(probabilities) / temperature, axis=1))
    return scaled


def mean(probabilities: NDArray[np.float64], actual: NDArray[np.integer]) -> NDArray[np.float64]:
    """Weigh all members alike; arguments as of `weighted`."""
    del actual
    return np.full(len(probabilities), 1 / len(probabilities))


def weighted(probabilities: NDArray[np.float64], actual: NDArray[np.integer]) -> NDArray[np.float64]:
    """Find the weights of the least log loss, averaged over classes: w_m <- w_m * mean(p_m / sum_k w_k p_k).

    This is expectation maximisation for the shares of a mixture (Dempster et al. 1977). It stays on the simplex; the
    loss is convex there, and the largest factor less 1 bounds what is left to save, which is when to stop.

    Args:
        probabilities: on validation, (members, images, classes).
        actual: class of each image, (images,).

    """
    true = np.maximum(probabilities[:, np.arange(len(actual)), actual], SMALLEST)
    share = _class_balanced(actual)
    weights = mean(probabilities, actual)
    for _ in range(STEPS):
        factors = (true / (weights @ true)) @ share
        if factors.max() <= 1 + CLOSE:
            break
        weights = weights * factors
    normalised: NDArray[np.float64] = weights / weights.sum()  # the sum is 1 but for rounding
    return normalised


def greedy(probabilities: NDArray[np.float64], actual: NDArray[np.integer]) -> NDArray[np.float64]:
    """Add the member that helps most, again and again, and keep the best of the ensembles on the way.

    With replacement, so that a member's share is how often it was taken. What helps is the balanced accuracy, among
    equals the log loss averaged over classes. Caruana et al., Ensemble Selection from Libraries of Models, 2004.
    Arguments as of `weighted`.
    """
    share, rows, ones = _class_balanced(actual), np.arange(len(actual)), np.ones((1, len(actual)))

    def quality(pool: NDArray[np.float64]) -> tuple[float, float]:
        hit = (pool.argmax(1) == actual).astype(np.float64)
        return float(balanced_accuracy(hit, actual, ones)[0]), float(share @ _logs(pool)[rows, actual])

    taken, total = np.zeros(len(probabilities)), np.zeros(probabilities.shape[1:])
    best, weights = (-np.inf, -np.inf), taken
    for size in range(1, ROUNDS + 1):
        qualities = [quality((total + member) / size) for member in probabilities]
        pick = max(range(len(qualities)), key=qualities.__getitem__)
        total = total + probabilities[pick]
        taken[pick] += 1
        if qualities[pick] > best:
            best, weights = qualities[pick], taken / size
    return weights


METHODS: dict[str, Callable[[NDArray[np.float64], NDArray[np.integer]], NDArray[np.float64]]] = {
    "mean": mean,
    "weighted": weighted,
    "greedy": greedy,
}


def pool(members: Sequence[NDArray[np.float64]], method: str, validation: Truth) -> Pool:
    """Join members.

    Args:
        members: calibrated probabilities of each, (images, classes).
        method: of METHODS.
        validation: what the weights and the temperature are fitted on.

    """
    stacked = np.stack(members)
    weights = METHODS[method](stacked[:, validation.rows], validation.actual)
    joined = calibrate(np.tensordot(weights, stacked, axes=1), validation)
    return Pool(joined.probabilities, joined.temperature, joined.before, weights)


def stack(members: Sequence[NDArray[np.float64]], out_of_fold: Sequence[OutOfFold], validation: Truth) -> Pool:
    """Join members by a softmax regression on their log-probabilities, in which classes count alike.

    Args:
        members: calibrated probabilities of each, (images, classes).
        out_of_fold: of each, of the same train images in the same order; of two classes at least.
        validation: what the temperature is fitted on.

    """
    regression = LogisticRegression(C=STACKING_C, class_weight="balanced", max_iter=STEPS)
    regression.fit(_side_by_side([of.probabilities for of in out_of_fold]), out_of_fold[0].actual)
    joined = np.zeros_like(members[0])
    joined[:, regression.classes_] = regression.predict_proba(_side_by_side(members))
    calibrated = calibrate(joined, validation)
    return Pool(calibrated.probabilities, calibrated.temperature, calibrated.before, None)


def can_stack(models: Sequence[Model], out_of_fold: Mapping[Model, OutOfFold]) -> bool:
    """Say whether every model has predicted train out of fold, and there is something to tell apart."""
    return all(model in out_of_fold and len(np.unique(out_of_fold[model].actual)) > 1 for model in models)


def ensembles(
    models: Mapping[Model, NDArray[np.float64]],
    arms: Sequence[str],
    method: str,
    validation: Truth,
    out_of_fold: Mapping[Model, OutOfFold],
) -> dict[str, Pool]:
    """Join all networks of each arm, those of all seeds: the product.

    Args:
        models: calibrated probabilities of each, (images, classes).
        arms: in order.
        method: of METHODS, or STACKING.
        validation: what weights and temperatures are fitted on.
        out_of_fold: what stacking is fitted on, at the models' temperatures.

    Raises:
        UserError: the method is STACKING, and members lack out-of-fold predictions.

    """
    pools = {}
    for arm in arms:
        of_arm = [model for model in models if model.arm == arm]
        if method != STACKING:
            pools[arm] = pool([models[model] for model in of_arm], method, validation)
            continue
        if not can_stack(of_arm, out_of_fold):
            lacking = [model for model in of_arm if not can_stack([model], out_of_fold)]
            raise UserError(
                f"evaluate.ensemble is stacking, and {lacking[0].instance} has not predicted train out of fold: set "
                f"train.members.{lacking[0].member}.folds to 2 or more, or evaluate.ensemble to another way"
            )
        pools[arm] = stack([models[model] for model in of_arm], [out_of_fold[model] for model in of_arm], validation)
    return pools


def joined_by_seed(
    models: Mapping[Model, NDArray[np.float64]], validation: Truth, out_of_fold: Mapping[Model, OutOfFold]
) -> dict[Model, Pool]:
    """Join the members of each arm and seed in every way, to be compared with a member of that seed.

    Stacking is among them where all members have predicted train out of fold. Arguments as of `ensembles`.

    Returns:
        by a Model whose member is the method's name, or for the mean of a subset its members' names with + between;
        nothing where there is but one member.

    """
    made = {}
    for arm, seed in track(list(dict.fromkeys((model.arm, model.seed) for model in models)), "join members"):
        of_seed = {model.member: p for model, p in models.items() if (model.arm, model.seed) == (arm, seed)}
        if len(of_seed) > 1:
            for method in METHODS:
                made[Model(method, arm, seed)] = pool(list(of_seed.values()), method, validation)
            learnt_from = [Model(member, arm, seed) for member in of_seed]
            if can_stack(learnt_from, out_of_fold):
                folded = [out_of_fold[model] for model in learnt_from]
                made[Model(STACKING, arm, seed)] = stack(list(of_seed.values()), folded, validation)
            for subset in subsets(list(of_seed)):
                made[Model("+".join(subset), arm, seed)] = pool([of_seed[m] for m in subset], "mean", validation)
    return made


def subsets(members: Sequence[str]) -> list[tuple[str, ...]]:
    """List the subsets of two members or more that lack at least one; of many members those that lack just one."""
    sizes = range(2, len(members)) if len(members) <= MOST else [len(members) - 1]
    return [subset for size in sizes for subset in combinations(members, size)]


def _logs(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.clip(probabilities, SMALLEST, 1))
    return logs


def _side_by_side(probabilities: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.hstack([_logs(of_member) for of_member in probabilities])


def _class_balanced(actual: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of each image in a mean over classes of means over their images: (images,), sums to 1."""
    _, number, counts = np.unique(actual, return_inverse=True, return_counts=True)
    share: NDArray[np.float64] = 1 / (len(counts) * counts[number])
    return share
