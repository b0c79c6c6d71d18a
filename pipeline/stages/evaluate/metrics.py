"""Figures of all classes together and of each by itself, and the points of the plotted curves.

Figures are weighted, for many weightings at once: accuracy is sum(w * hit) / sum(w), balanced accuracy the mean recall
over classes, AUROC P(score of a positive > score of a negative) with ties counting half. scikit-learn has most of them
for one weighting at a time, which is too slow for a bootstrap; the tests hold ours against it, the curves are its own.

Weights have the shape (weightings, images), none negative, and each function returns one value a weighting; weights of
one give the plain figure. A figure that does not exist (no image of a class) is NaN, and means leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    true, columns = probabilities[np.arange(len(actual)), actual], np.ascontiguousarray(weights.T)
    rankings = (rank(probabilities[:, k], actual == k, columns) for k in range(probabilities.shape[1]))
    areas = np.array([(auroc(ranking), average_precision(ranking)) for ranking in rankings])
    return {
        **hits(probabilities, actual, weights),
        "macro_auroc": _mean(areas[:, 0].T),
        "macro_average_precision": _mean(areas[:, 1].T),
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
    positive, claimed = actual == number, probabilities.argmax(1) == number
    true, alarm = weights @ (positive & claimed), weights @ (~positive & claimed)
    positives, negatives = weights @ positive, weights @ ~positive
    ranking = rank(probabilities[:, number], positive, np.ascontiguousarray(weights.T))
    return {
        "recall": _ratio(true, positives),
        "specificity": _ratio(negatives - alarm, negatives),
        "precision": _ratio(true, true + alarm),
        "f1": _ratio(2 * true, positives + true + alarm),
        "auroc": auroc(ranking),
        "average_precision": average_precision(ranking),
        "sensitivity_at_90_specificity": sensitivity_at(SPECIFICITY, ranking),
    }


def balanced_accuracy(
    hit: NDArray[np.float64], actual: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean recall of the classes present."""
    of_class = (actual[:, None] == np.unique(actual)).astype(np.float64)
    return _mean(_ratio((weights * hit) @ of_class, weights @ of_class))


class Ranking(NamedTuple):
    """What a threshold at each positive's score lets pass; all (positives, weightings) but the last.

    own: weight of the positive.
    true: of the positives that score as high or higher.
    false: of the negatives that do.
    false_above: of the negatives that score higher.
    negatives: of all negatives, (weightings,).
    """

    own: NDArray[np.float64]
    true: NDArray[np.float64]
    false: NDArray[np.float64]
    false_above: NDArray[np.float64]
    negatives: NDArray[np.float64]


def rank(score: NDArray[np.float64], positive: NDArray[np.bool_], columns: NDArray[np.float64]) -> Ranking:
    """Rank images by a score, for many weightings in one pass over the weights.

    Args:
        score: of each image, (images,).
        positive: whether it has the class, (images,).
        columns: weights, but of shape (images, weightings): taking and adding whole rows is several times faster.

    """
    order = np.argsort(-score)  # equal scores are taken all at once, so their order is nothing
    falling, places = -score[order], np.flatnonzero(positive[order])
    weights = columns[order]
    own = weights[places]
    all_, true = _sums(weights), _sums(own)
    ends, starts = (np.searchsorted(falling, falling[places], side) for side in ("right", "left"))
    true_at, true_above = (true[np.searchsorted(places, at)] for at in (ends, starts))
    return Ranking(own, true_at, all_[ends] - true_at, all_[starts] - true_above, all_[-1] - true[-1])


def auroc(ranking: Ranking) -> NDArray[np.float64]:
    """Probability that a positive scores above a negative, ties counting half (Mann and Whitney 1947)."""
    own, _, false, false_above, negatives = ranking
    lost = np.einsum("ur,ur->r", own, false) + np.einsum("ur,ur->r", own, false_above)
    pairs = own.sum(0) * negatives
    return _ratio(pairs - lost / 2, pairs)


def average_precision(ranking: Ranking) -> NDArray[np.float64]:
    """Sum of precision over the steps of recall: the mean precision at the positives."""
    own, true, false, _, _ = ranking
    return _ratio((own * _ratio(true, true + false, otherwise=0.0)).sum(0), own.sum(0))


def sensitivity_at(specificity: float, ranking: Ranking) -> NDArray[np.float64]:
    """Highest sensitivity of a threshold on the score whose specificity is at least this.

    Thresholds lie at scores that occur, nothing is interpolated, so what is told could be had.
    """
    own, true, false, _, negatives = ranking
    allowed = false <= (1 - specificity) * negatives + 1e-9  # of rounding
    reached = np.where(allowed, true, 0).max(0, initial=0)
    return _ratio(np.where(negatives > 0, reached, np.nan), own.sum(0))


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


def _sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add up rows: row i is the sum of the first i."""
    sums = np.zeros((len(rows) + 1, rows.shape[1]))
    np.cumsum(rows, axis=0, out=sums[1:])
    return sums


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
