"""Ours, and what others would make of the same vectors: each ranks images by a score, (n,), higher is more suspect.

Each gets the vectors of all encoders. cleanlab's scores get out-of-fold probabilities of the same components and folds
by lesion, pooled over it, from classifiers that take labels at their word (`plain`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from cleanlab.classification import CleanLearning
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from scipy.stats import entropy

from bench.label_noise.plain import plain_pred_probs, seen_pred_probs
from pipeline.stages.label_noise.cross_validation import Predictions, cross_val_predict
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.knn import nearest_neighbours
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.scores import NO_COPY, score_labels

Floats = NDArray[np.floating]
Given = NDArray[np.int64]  # (n,) class numbers

OURS = "ours"
UNGROUPED = "ours, folds that ignore lesions"
DATALAB = "cleanlab Datalab, folds that ignore lesions"  # its defaults, as tutorials use it
NEIGHBOURS = 10
LISTED = 300
CLEANLAB_SCORES = {
    "cleanlab self-confidence": ("self_confidence", False),
    "cleanlab self-confidence, adjusted": ("self_confidence", True),
    "cleanlab normalised margin": ("normalized_margin", False),
    "cleanlab normalised margin, adjusted": ("normalized_margin", True),
    "cleanlab confidence-weighted entropy": ("confidence_weighted_entropy", False),
}


def datalab(given: Given, probabilities: Floats) -> Floats:
    """Rank by Datalab's label issues with its defaults: it hands the probabilities to this very call."""
    issues = CleanLearning(verbose=False).find_label_issues(labels=given, pred_probs=probabilities)
    score: Floats = -issues["label_quality"].to_numpy()
    return score


def cleanlab_scores(given: Given, probabilities: Floats) -> dict[str, Floats]:
    """Rank by every score that cleanlab offers for single labels."""
    clipped = np.clip(probabilities, 1e-9, None)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return {
        name: -get_label_quality_scores(given, clipped, method=method, adjust_pred_probs=adjust)
        for name, (method, adjust) in CLEANLAB_SCORES.items()
    }


def mistakenness(given: Given, probabilities: Floats) -> Floats:
    """Rank by FiftyOne's mistakenness of a classification with logits: (m · exp(-entropy) + 1) / 2, m = 1 if wrong."""
    sign = np.where(probabilities.argmax(axis=1) == given, -1.0, 1.0)
    score: Floats = (sign * np.exp(-entropy(probabilities, axis=1)) + 1) / 2
    return score


def training_loss(given: Given, seen: Floats) -> Floats:
    """Rank by the loss of a classifier that has seen every label, (n, classes), as small-loss selection does."""
    loss: Floats = -np.log(np.maximum(seen[np.arange(len(given)), given], 1e-12))
    return loss


@dataclass(frozen=True)
class Neighbours:
    """Who is near whom, whatever the labels.

    nearest: (n, LISTED) positions, nearest first; nobody is his own neighbour.
    cosines: theirs.
    unit: (n, d) vectors, for rows whose list holds one label only.
    """

    nearest: NDArray[np.int64]
    cosines: Floats
    unit: Floats


def find_neighbours(vectors: Floats) -> Neighbours:
    """Search exactly."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alone = np.arange(len(unit))
    count = min(LISTED, len(unit) - 1)
    return Neighbours(*nearest_neighbours(unit, unit, query_group=alone, reference_group=alone, count=count), unit)


def neighbour_disagreement(neighbours: Neighbours, given: Given) -> Floats:
    """Rank by the share of the nearest that carry another label; ties by how near those are."""
    other = given[neighbours.nearest[:, :NEIGHBOURS]] != given[:, None]
    share: Floats = other.mean(axis=1) + 1e-3 * (other * neighbours.cosines[:, :NEIGHBOURS]).mean(axis=1)
    return share


def intra_extra_distance(neighbours: Neighbours, given: Given) -> Floats:
    """Rank by SelfClean's label error score: d² / (d² + e²), d to the nearest of the same and e of another label.

    SelfClean ranks 1 minus it, lowest first; distances are cosine distances, as there. The only image of a label is as
    far from its like as from the farthest image.
    """
    same = given[neighbours.nearest] == given[:, None]
    own, other = (_first(neighbours, given, mask, same=flag) for mask, flag in ((same, True), (~same, False)))
    score: Floats = own**2 / np.maximum(own**2 + other**2, 1e-12)
    return score


def _first(neighbours: Neighbours, given: Given, mask: NDArray[np.bool_], *, same: bool) -> Floats:
    """Distance to the first neighbour in `mask`; searched among all images where the list holds none."""
    rows = np.arange(len(given))
    found: Floats = 1 - neighbours.cosines[rows, mask.argmax(axis=1)]
    for row in np.flatnonzero(~mask.any(axis=1)):
        wanted = (given == given[row]) if same else (given != given[row])
        wanted[row] = False
        similar = neighbours.unit @ neighbours.unit[row]
        found[row] = 1 - (similar[wanted].max() if wanted.any() else similar.min())
    return found


def rank(
    labelled: Dataset, neighbours: Neighbours, predictions: Predictions, params: LabelNoiseParams, *, ungrouped: bool
) -> dict[str, NDArray[np.float32]]:
    """Let every method rank the images, ours (whose predictions are at hand) also with folds that ignore lesions."""
    alone, given = ignoring_lesions(labelled), labelled.given
    plain = plain_pred_probs(labelled, params)
    scores = {
        OURS: ours(labelled, predictions, params),
        DATALAB: datalab(given, plain_pred_probs(alone, params) if grouped(labelled) else plain),
        **cleanlab_scores(given, plain),
        "FiftyOne mistakenness": mistakenness(given, plain),
        "SelfClean": intra_extra_distance(neighbours, given),
        "k nearest neighbours": neighbour_disagreement(neighbours, given),
        "training loss": training_loss(given, seen_pred_probs(labelled)),
    }
    if ungrouped:
        scores[UNGROUPED] = ours(alone, cross_val_predict(alone, params), params)
    return {name: score.astype(np.float32) for name, score in scores.items()}


def grouped(labelled: Dataset) -> bool:
    """Say whether any lesion or group holds two images."""
    return len(np.unique(labelled.group)) < len(labelled.group)


def ignoring_lesions(labelled: Dataset) -> Dataset:
    """Take every image for a lesion and a group of its own."""
    each = np.arange(len(labelled.given))
    return replace(labelled, lesion=each, group=each)


def ours(labelled: Dataset, predictions: Predictions, params: LabelNoiseParams) -> Floats:
    """Rank as the stage does, copies left aside."""
    alone = np.full(len(labelled.given), NO_COPY)
    floor = params.conflict_error_probability
    scored = score_labels(labelled, predictions, alone, method=params.method, conflict_error_probability=floor)
    return scored.error_probability
