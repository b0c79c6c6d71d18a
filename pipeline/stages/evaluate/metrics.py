"""Accuracy, balanced accuracy, macro AUROC, expected calibration error, log loss; and the points of the plotted curves.

Figures are weighted, for many weightings at once: accuracy is sum(w * hit) / sum(w), balanced accuracy the mean recall
over classes, AUROC P(score of a positive > score of a negative) with ties counting half.

Weights have the shape (weightings, images), none negative, and each function returns one value a weighting; weights of
one give the plain figure. A figure that does not exist (no image of a class) is NaN, and means leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SMALLEST = float(np.finfo(np.float32).eps)  # probabilities are stored in float32; log loss takes none below this


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
    hit = (probabilities.argmax(1) == actual).astype(np.float64)
    true = probabilities[np.arange(len(actual)), actual]
    return {
        "accuracy": _ratio(weights @ hit, weights.sum(1)),
        "balanced_accuracy": balanced_accuracy(hit, actual, weights),
        "macro_auroc": macro_auroc(probabilities, actual, weights),
        "calibration_error": calibration_error(probabilities, actual, weights, bins=bins),
        "log_loss": _ratio(weights @ -np.log(np.clip(true, SMALLEST, 1)), weights.sum(1)),
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


def per_class(probabilities: NDArray[np.float64], actual: NDArray[np.integer], diagnoses: list[str]) -> pd.DataFrame:
    """Score each class by itself; precision is NaN where it is never predicted, recall where no image has it."""
    ones = np.ones((len(actual), 1))
    predicted, numbers = probabilities.argmax(1), np.arange(len(diagnoses))
    hits = np.bincount(actual[predicted == actual], minlength=len(numbers)).astype(np.float64)
    support, claimed = (np.bincount(v, minlength=len(numbers)).astype(np.float64) for v in (actual, predicted))
    return pd.DataFrame(
        {
            "diagnosis": diagnoses,
            "precision": _ratio(hits, claimed),
            "recall": _ratio(hits, support),
            "f1": _ratio(2 * hits, claimed + support),
            "auroc": [float(auroc(probabilities[:, k], actual == k, ones)[0]) for k in numbers],
            "support": support.astype(np.int64),
        }
    )


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
        order = np.argsort(-probabilities[:, k], kind="stable")
        score, hits = probabilities[order, k], np.cumsum(positive[order])
        ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # the last of each run of equal scores
        true, false = np.append(0, hits[ends]), np.append(0, ends + 1 - hits[ends])
        kept = _corners(false, true)
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, points).round().astype(np.int64))]
        curves.append(
            pd.DataFrame(
                {
                    "false_positive_rate": false[kept] / false[-1],
                    "true_positive_rate": true[kept] / true[-1],
                    "diagnosis": diagnosis,
                }
            )
        )
    return pd.concat(curves, ignore_index=True)


def calibration_curve(probabilities: NDArray[np.float64], actual: NDArray[np.integer], *, bins: int) -> pd.DataFrame:
    """Mean confidence and accuracy of the images in each bin of the top probability; empty bins are left out."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == actual
    frame = pd.DataFrame({"confidence": confidence, "accuracy": hit.astype(np.float64)})
    points = frame.groupby(bin_of(confidence, bins)).agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("accuracy", "size")
    )
    return points.reset_index(drop=True)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)
    return ratio


def _mean(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each row's finite values."""
    finite = np.isfinite(matrix)
    return _ratio(np.where(finite, matrix, 0).sum(1), finite.sum(1).astype(np.float64))


def _corners(x: NDArray[np.integer], y: NDArray[np.integer]) -> NDArray[np.intp]:
    """Places where a staircase turns, and both ends."""
    turns = np.diff(x)[:-1] * np.diff(y)[1:] != np.diff(y)[:-1] * np.diff(x)[1:]
    return np.concatenate([[0], np.flatnonzero(turns) + 1, [len(x) - 1]])
