"""Figures of all classes together and of each by itself, and the points of the plotted curves.

Figures are weighted, for many weightings at once: accuracy is sum(w * hit) / sum(w), balanced accuracy the mean recall
over classes, AUROC P(score of a positive > score of a negative) with ties counting half. scikit-learn has most of them
for one weighting at a time, which is too slow for a bootstrap; the tests hold ours against it, the curves are its own.

Weights have the shape (weightings, images), none negative, and each function returns one value a weighting; weights of
one give the plain figure. A figure that does not exist (no image of a class) is NaN, and means leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

SMALLEST = float(np.finfo(np.float32).eps)  # probabilities are stored in float32; log loss takes none below this
SPECIFICITY = 0.9  # at which sensitivities are told


def headline(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64], *, bins: int
) -> dict[str, NDArray[np.float64]]:
    """Score predictions.

    Args:
        probabilities: (images, classes).
        actual: class of each image, (images,).
        weights: (weightings, images).
        bins: of the calibration error.

    """
    true = probabilities[np.arange(len(actual)), actual]
    return {
        **hits(probabilities, actual, weights),
        "macro_auroc": macro_auroc(probabilities, actual, weights),
        "macro_average_precision": macro_average_precision(probabilities, actual, weights),
        "calibration_error": calibration_error(probabilities, actual, weights, bins=bins),
        "log_loss": _ratio(weights @ -np.log(np.clip(true, SMALLEST, 1)), weights.sum(1)),
        "risk_coverage_area": risk_coverage_area(probabilities, actual, weights),
    }


def hits(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Accuracy and balanced accuracy alone, which few images allow as well; arguments as of `headline`."""
    hit = (probabilities.argmax(1) == actual).astype(np.float64)
    return {
        "accuracy": _ratio(weights @ hit, weights.sum(1)),
        "balanced_accuracy": balanced_accuracy(hit, actual, weights),
    }


def one_class(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64], *, number: int
) -> dict[str, NDArray[np.float64]]:
    """Score one class against all others; arguments as of `headline`.

    Recall (sensitivity), specificity, precision and F1 are of the class with the highest probability. The sensitivity
    at a specificity is of a threshold on this class's own probability instead, as a screening test is judged: a point
    of the ROC curve of these very images, so it says what the ranking allows, not what a threshold chosen before gives.

    Args:
        probabilities: (images, classes).
        actual: (images,).
        weights: (weightings, images).
        number: of the class.

    """
    positive, claimed, score = actual == number, probabilities.argmax(1) == number, probabilities[:, number]
    true, alarm = weights @ (positive & claimed), weights @ (~positive & claimed)
    positives, negatives = weights @ positive, weights @ ~positive
    columns = np.ascontiguousarray(weights.T)
    return {
        "recall": _ratio(true, positives),
        "specificity": _ratio(negatives - alarm, negatives),
        "precision": _ratio(true, true + alarm),
        "f1": _ratio(2 * true, positives + true + alarm),
        "auroc": auroc(score, positive, columns),
        "average_precision": average_precision(score, positive, columns),
        "sensitivity_at_90_specificity": sensitivity_at(SPECIFICITY, score, positive, columns),
    }


def balanced_accuracy(
    hit: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean recall of the classes present."""
    of_class = (actual[:, None] == np.unique(actual)).astype(np.float64)
    return _mean(_ratio((weights * hit) @ of_class, weights @ of_class))


def macro_auroc(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean area under the one-versus-rest ROC curves of the classes that have both images and others."""
    columns = np.ascontiguousarray(weights.T)
    return _mean(np.stack([auroc(probabilities[:, k], actual == k, columns) for k in range(probabilities.shape[1])], 1))


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a positive scores above a negative, ties counting half (Mann and Whitney 1947).

    Args:
        score: of each image, (images,).
        positive: whether it has the class, (images,).
        columns: weights, but of shape (images, weightings): taking and adding whole rows is several times faster.

    """
    others = score[~positive]
    order = np.argsort(others)
    weight_up_to = np.zeros((len(others) + 1, columns.shape[1]))  # row i: of the i lowest negatives
    np.cumsum(columns[~positive][order], axis=0, out=weight_up_to[1:])
    below, not_above = (np.searchsorted(others[order], score[positive], side) for side in ("left", "right"))
    own = columns[positive]
    won = np.einsum("ur,ur->r", own, weight_up_to[below]) + np.einsum("ur,ur->r", own, weight_up_to[not_above])
    return _ratio(won / 2, own.sum(0) * weight_up_to[-1])


def macro_average_precision(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean over the classes that have images of the average precision of their probability."""
    columns = np.ascontiguousarray(weights.T)
    classes = range(probabilities.shape[1])
    return _mean(np.stack([average_precision(probabilities[:, k], actual == k, columns) for k in classes], 1))


def average_precision(
    score: NDArray[np.float64], positive: NDArray[np.bool_], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of precision over the steps of recall, thresholds falling; arguments as of `auroc`."""
    all_, true = _above(score, positive, columns)
    return _ratio((np.diff(true, axis=0, prepend=0) * _ratio(true, all_, otherwise=0.0)).sum(0), true[-1])


def sensitivity_at(
    specificity: float, score: NDArray[np.float64], positive: NDArray[np.bool_], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Highest sensitivity of a threshold on the score whose specificity is at least this; arguments as of `auroc`.

    Thresholds lie at scores that occur, nothing is interpolated, so what is told could be had.
    """
    all_, true = _above(score, positive, columns)
    false = all_ - true
    allowed = false <= (1 - specificity) * false[-1] + 1e-9  # the sums are of whole numbers: rounding alone
    reached = np.where(allowed, true, 0).max(0)
    return _ratio(np.where(false[-1] > 0, reached, np.nan), true[-1])


def risk_coverage_area(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the risk-coverage curve: mean error rate over all coverages, the surest images first.

    What a model's confidence is worth to one who may decline to answer: less is better, 0 where no error is made.
    Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, 2017.
    """
    wrong = probabilities.argmax(1) != actual
    covered, errors = _above(probabilities.max(1), wrong, np.ascontiguousarray(weights.T))
    risk = _ratio(errors, covered, otherwise=0.0)
    return _ratio((np.diff(covered, axis=0, prepend=0) * risk).sum(0), covered[-1])


def calibration_error(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64], *, bins: int
) -> NDArray[np.float64]:
    """Expected calibration error: over equal bins of the top probability, the mean |confidence - accuracy|.

    Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    confidence = probabilities.max(1)
    gap = confidence - (probabilities.argmax(1) == actual)
    in_bin = (bin_of(confidence, bins)[:, None] == np.arange(bins)).astype(np.float64)
    return _ratio(np.abs((weights * gap) @ in_bin).sum(1), weights.sum(1))


def bin_of(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Number of each confidence's bin: bin i holds (i / bins, (i + 1) / bins]."""
    numbers: NDArray[np.int64] = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return numbers


def confusion_pairs(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], diagnoses: Sequence[str]
) -> pd.DataFrame:
    """One row an image: its actual and predicted diagnosis."""
    names = np.asarray(diagnoses)
    return pd.DataFrame({"actual": names[actual], "predicted": names[probabilities.argmax(1)]})


def roc_curves(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], diagnoses: Sequence[str], *, points: int
) -> pd.DataFrame:
    """One-versus-rest ROC curves of at most `points` points; classes without images (or without others) have none."""
    curves = [
        pd.DataFrame({"false_positive_rate": [], "true_positive_rate": [], "diagnosis": pd.Series([], dtype=str)})
    ]
    for k, diagnosis in enumerate(diagnoses):
        positive = actual == k
        if positive.all() or not positive.any():
            continue
        false, true, _ = roc_curve(positive, probabilities[:, k])
        kept = np.unique(np.linspace(0, len(false) - 1, points).round().astype(np.int64))
        curves.append(
            pd.DataFrame({"false_positive_rate": false[kept], "true_positive_rate": true[kept], "diagnosis": diagnosis})
        )
    return pd.concat(curves, ignore_index=True)


def risk_coverage_curve(
    probabilities: NDArray[np.float64], actual: NDArray[np.integer], *, points: int
) -> pd.DataFrame:
    """Error rate among the surest images, for at most `points` shares of them; equal confidences come at once."""
    wrong = probabilities.argmax(1) != actual
    covered, errors = (cells[:, 0] for cells in _above(probabilities.max(1), wrong, np.ones((len(actual), 1))))
    kept = np.unique(np.linspace(0, len(covered) - 1, points).round().astype(np.int64))
    return pd.DataFrame({"coverage": covered[kept] / len(actual), "risk": errors[kept] / covered[kept]})


def calibration_curve(probabilities: NDArray[np.float64], actual: NDArray[np.integer], *, bins: int) -> pd.DataFrame:
    """Mean confidence and accuracy of the images in each bin of the top probability; empty bins are left out."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == actual
    frame = pd.DataFrame({"confidence": confidence, "accuracy": hit.astype(np.float64)})
    points = frame.groupby(bin_of(confidence, bins)).agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("accuracy", "size")
    )
    return points.reset_index(drop=True)


def _above(
    score: NDArray[np.float64], marked: NDArray[np.bool_], columns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weigh what scores at least each score that occurs, the highest first.

    Args:
        score: (images,).
        marked: (images,).
        columns: weights, (images, weightings).

    Returns:
        the weight of all images, and of those marked: each (distinct scores, weightings).

    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # the last of each run of equal scores
    ordered = columns[order]
    return np.cumsum(ordered, axis=0)[ends], np.cumsum(ordered * marked[order, None], axis=0)[ends]


def _ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64], *, otherwise: float = float("nan")
) -> NDArray[np.float64]:
    """Divide; where `whole` is 0 the ratio does not exist."""
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.full(np.shape(part), otherwise), where=whole != 0)
    return ratio


def _mean(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each row's finite values."""
    finite = np.isfinite(matrix)
    return _ratio(np.where(finite, matrix, 0).sum(1), finite.sum(1).astype(np.float64))
