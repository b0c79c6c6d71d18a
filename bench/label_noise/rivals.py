"""What others would make of the same vectors: each ranks images, higher is more suspect.

Every rival gets the vectors of all encoders. cleanlab's best scores get our own out-of-fold probabilities too, folds by
lesion and pooled over it: so they differ from our method in the score alone.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from cleanlab import Datalab
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
    """Rank by Datalab's label issues with its defaults."""
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Datalab({"label": given}, label_name="label", verbosity=0)
        lab.find_issues(pred_probs=probabilities, issue_types={"label": {}})
    issues = lab.get_issues("label")
    score: Array = -issues["label_score"].to_numpy()
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


def neighbour_disagreement(vectors: Array, given: Array) -> Array:
    """Rank by the share of the nearest neighbours that carry another label; ties by their similarity."""
    found = np.empty(len(given))
    for rows, similar in _similarities(vectors):
        nearest = np.argpartition(-similar, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        other = given[nearest] != given[rows][:, None]
        weight = np.take_along_axis(similar, nearest, axis=1)
        found[rows] = other.mean(axis=1) + 1e-3 * (other * weight).mean(axis=1)
    return found


def intra_extra_distance(vectors: Array, given: Array) -> Array:
    """Rank by SelfClean's label error score: d² / (d² + e²), d to the nearest of the same and e of another label.

    SelfClean ranks 1 minus it, lowest first; distances are cosine distances, as there.
    """
    found = np.empty(len(given))
    for rows, similar in _similarities(vectors):
        distance, same = 1 - similar, given[rows][:, None] == given
        own = np.where(same, distance, np.inf).min(axis=1)
        other = np.where(same, np.inf, distance)
        nearest_other = other.min(axis=1)
        alone = np.isinf(own)
        own[alone] = np.where(np.isfinite(other[alone]), other[alone], -np.inf).max(axis=1)
        found[rows] = own**2 / np.maximum(own**2 + nearest_other**2, 1e-12)
    return found


def _similarities(vectors: Array) -> Iterator[tuple[Array, Array]]:
    """Yield blocks of rows and their cosines to all images; -inf to themselves."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, len(unit), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(unit)))
        similar = unit[rows] @ unit.T
        similar[np.arange(len(rows)), rows] = -np.inf
        yield rows, similar
