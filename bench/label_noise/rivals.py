"""What others would make of the same vectors: each ranks images, higher is more suspect.

Every rival gets the vectors of all encoders. cleanlab's best scores get our own out-of-fold probabilities too, folds by
lesion and pooled over it: so they differ from our method in the score alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cleanlab.classification import CleanLearning
from cleanlab.rank import get_label_quality_scores
from scipy.stats import entropy

Array = np.ndarray[Any, Any]

NEIGHBOURS = 10
BLOCK = 512
CLEANLAB_SCORES = {
    "cleanlab self-confidence": ("self_confidence", False),
    "cleanlab self-confidence, adjusted": ("self_confidence", True),
    "cleanlab normalised margin": ("normalized_margin", False),
    "cleanlab normalised margin, adjusted": ("normalized_margin", True),
    "cleanlab confidence-weighted entropy": ("confidence_weighted_entropy", False),
}


def datalab(given: Array, probabilities: Array) -> Array:
    """Rank by Datalab's label issues with its defaults: it hands the probabilities to this very call."""
    issues = CleanLearning(verbose=False).find_label_issues(labels=given, pred_probs=probabilities)
    score: Array = -issues["label_quality"].to_numpy()
    return score


def cleanlab_scores(given: Array, probabilities: Array) -> dict[str, Array]:
    """Rank by every score that cleanlab offers for single labels."""
    clipped = np.clip(probabilities, 1e-9, None)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return {
        name: -get_label_quality_scores(given, clipped, method=method, adjust_pred_probs=adjust)
        for name, (method, adjust) in CLEANLAB_SCORES.items()
    }


def mistakenness(given: Array, probabilities: Array) -> Array:
    """Rank by FiftyOne's mistakenness of a classification with logits: (m · exp(-entropy) + 1) / 2, m = 1 if wrong."""
    sign = np.where(probabilities.argmax(axis=1) == given, -1.0, 1.0)
    score: Array = (sign * np.exp(-entropy(probabilities, axis=1)) + 1) / 2
    return score


def training_loss(given: Array, seen: Array) -> Array:
    """Rank by the loss of a probe that has seen every label, as small-loss selection does.

    Args:
        given: (n,) class numbers.
        seen: (n, classes), what a probe that learnt from all images says of each.

    """
    loss: Array = -np.log(np.maximum(seen[np.arange(len(given)), given], 1e-12))
    return loss


def by_neighbours(vectors: Array, given: Array) -> tuple[Array, Array]:
    """Rank by nearest neighbours in two ways.

    Returns:
        the share of the nearest that carry another label, ties by their similarity; and SelfClean's label error score
        d² / (d² + e²), with d the cosine distance to the nearest of the same label and e to that of another. SelfClean
        ranks 1 minus it, lowest first.

    """
    share, ratio = np.empty(len(given)), np.empty(len(given))
    for rows, similar in _similarities(vectors):
        nearest = np.argpartition(-similar, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        other = given[nearest] != given[rows][:, None]
        share[rows] = other.mean(axis=1) + 1e-3 * (other * np.take_along_axis(similar, nearest, axis=1)).mean(axis=1)
        same = given[rows][:, None] == given
        own = 1 - np.where(same, similar, -np.inf).max(axis=1)
        extra = 1 - np.where(same, -np.inf, similar).max(axis=1)
        farthest = 1 - np.where(same, np.inf, similar).min(axis=1)  # stands in for a label that no other image has
        own = np.where(np.isinf(own), farthest, own)
        ratio[rows] = own**2 / np.maximum(own**2 + extra**2, 1e-12)
    return share, ratio


def _similarities(vectors: Array) -> Iterator[tuple[Array, Array]]:
    """Yield blocks of rows and their cosines to all images; -inf to themselves."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, len(unit), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(unit)))
        similar = unit[rows] @ unit.T
        similar[np.arange(len(rows)), rows] = -np.inf
        yield rows, similar
