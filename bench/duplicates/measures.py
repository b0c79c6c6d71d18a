"""How good a ranking of pairs is. Pairs that a finder does not list count as never found.

Every figure takes weights, so that a resample of originals is scored like the whole: a pair within a family (an
original and its copy) weighs as often as its family was drawn, a pair across two as often as both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.duplicates.planting import Truth
from pipeline.stages.evaluate.bootstrap import draw_groups

PRECISION = 0.99
CONFIDENCE = 0.95
FALSE = -1  # in place of a kind's number

Array = np.ndarray[Any, Any]


class Labelled(NamedTuple):
    """A ranking held against the truth, the best pair first.

    score: of each pair.
    kind: number of the copy's kind in `names`, FALSE for a pair that is no copy and its original.
    families: (pairs, 2) numbers of the originals of both files.
    """

    score: Array
    kind: Array
    families: Array


class Curve(NamedTuple):
    """Precision and recall where the list is cut after each distinct score: ties are taken all or none."""

    score: Array
    precision: Array
    recall: Array


def label(pairs: pd.DataFrame, truth: Truth, names: list[str]) -> Labelled:
    """Hold a ranking against the truth.

    Args:
        pairs: a, b (numbers of files) and score, the best first.
        truth: of the collection.
        names: of the kinds.

    """
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    number = {name: i for i, name in enumerate(names)} | {"": FALSE}
    kinds = np.array([number[kind] for kind in truth.kinds])
    families = np.stack([truth.originals[a], truth.originals[b]], axis=1)
    is_copy = families[:, 0] == families[:, 1]
    return Labelled(pairs["score"].to_numpy(), np.where(is_copy, np.maximum(kinds[a], kinds[b]), FALSE), families)


def of_kind(labelled: Labelled, kind: int) -> Labelled:
    """Keep one kind's pairs and all false ones: other kinds' are neither right nor wrong here."""
    kept = (labelled.kind == kind) | (labelled.kind == FALSE)
    return Labelled(*(column[kept] for column in labelled))


def curve(labelled: Labelled, *, positives: float, weights: Array | None = None) -> Curve:
    """Compute precision and recall along a ranking.

    Args:
        labelled: from `label`.
        positives: weight of all true pairs, listed or not.
        weights: of the pairs; one each if None.

    """
    mass = np.ones(len(labelled.score)) if weights is None else weights
    true = np.cumsum(mass * (labelled.kind != FALSE))
    listed = np.cumsum(mass)
    ends = np.flatnonzero(np.append(labelled.score[1:] != labelled.score[:-1], True)) if len(listed) else np.arange(0)
    true, listed = true[ends], listed[ends]
    precision = np.divide(true, listed, out=np.ones(len(ends)), where=listed > 0)
    return Curve(labelled.score[ends], precision, true / max(positives, 1e-12))


def average_precision(found: Curve) -> float:
    """Sum precision over the steps of recall, as scikit-learn does; what is not listed adds nothing."""
    return float(np.sum(np.diff(found.recall, prepend=0.0) * found.precision))


def recall_at_precision(found: Curve, precision: float = PRECISION) -> float:
    """Return the largest recall at which the list is at least this precise."""
    return float(found.recall[found.precision >= precision].max(initial=0.0))


def threshold(found: Curve, precision: float = PRECISION) -> float:
    """Return the score where that recall is reached; infinite if never."""
    kept = np.flatnonzero(found.precision >= precision)
    return float(found.score[kept[-1]]) if len(kept) else float("inf")


def intervals(labelled: Labelled, truth: Truth, *, resamples: int, seed: int) -> dict[str, list[float]]:
    """Resample originals with their copies; return the 95% percentile intervals of both figures.

    Args:
        labelled: from `label`.
        truth: of the collection.
        resamples: how many.
        seed: of the draws.

    """
    originals, owners = np.unique(truth.originals, return_inverse=True)
    copied = owners[[i for i, kind in enumerate(truth.kinds) if kind]]
    a, b = np.searchsorted(originals, labelled.families).T
    values = []
    for drawn in draw_groups(len(originals), resamples, np.random.default_rng([seed, 4])).astype(float):
        weights = drawn[a] * np.where(a == b, 1.0, drawn[b])
        found = curve(labelled, positives=float(drawn[copied].sum()), weights=weights)
        values.append((average_precision(found), recall_at_precision(found)))
    low, high = np.quantile(np.array(values), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0).tolist()
    return {"average_precision": [low[0], high[0]], "recall_at_p99": [low[1], high[1]]}
