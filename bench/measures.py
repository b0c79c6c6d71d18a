"""How good a ranking is, and the exact interval of a share.

Equal scores are taken all or none, and what is not listed is never found. Figures take weights, so that a resample is
measured like the whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

CONFIDENCE = 0.95

Floats = NDArray[np.floating]


class Ranking:
    """A ranking, ready to be measured under many weightings.

    score: after each run of equal scores, falling.

    Args:
        score: (n,) the higher the earlier.
        right: (n,) whether it is to be found.

    """

    def __init__(self, score: Floats, right: NDArray[np.bool_]) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        self.ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], [True] * min(len(ordered), 1)))
        self.score, self.right = ordered[self.ends], right[self.order]

    def counts(self, weight: Floats | None = None) -> tuple[Floats, Floats]:
        """Count what is listed and what is right of it, each weighted, down to the end of each run of equal scores."""
        mass = np.ones(len(self.order)) if weight is None else weight[self.order]
        return np.cumsum(mass)[self.ends], np.cumsum(mass * self.right)[self.ends]

    def average_precision(self, weight: Floats | None = None, *, positives: float | None = None) -> float:
        """Sum precision over the steps of recall, as scikit-learn does.

        Args:
            weight: (n,); each counts once if None.
            positives: weight of all that is to be found, listed or not; what is listed of it if None.

        """
        listed, hits = self.counts(weight)
        steps = np.diff(hits, prepend=0.0) * _precision(listed, hits)
        return float(steps.sum() / max(hits[-1] if positives is None else positives, 1e-12))

    def recall_at(self, precision: float, *, positives: float, weight: Floats | None = None) -> float:
        """Return the largest recall at which the list is at least this precise."""
        listed, hits = self.counts(weight)
        return float((hits / max(positives, 1e-12))[_precision(listed, hits) >= precision].max(initial=0.0))

    def threshold(self, precision: float) -> float:
        """Return the score where that recall is reached; infinite if never."""
        kept = np.flatnonzero(_precision(*self.counts()) >= precision)
        return float(self.score[kept[-1]]) if len(kept) else float("inf")

    def auroc(self) -> float:
        """Return the area under the ROC curve."""
        listed, hits = self.counts()
        rest = listed - hits
        middle = (hits + np.append(0.0, hits[:-1])) / 2
        return float((np.diff(rest, prepend=0.0) * middle).sum() / (hits[-1] * rest[-1]))

    def found_among(self, count: int) -> float:
        """Count what is right among the first `count`; among equal scores the expected number."""
        listed, hits = self.counts()
        return float(np.interp(count, np.append(0, listed), np.append(0, hits)))


def exact_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95% interval of a share, `count` of `total` (Clopper and Pearson 1934)."""
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def _precision(listed: Floats, hits: Floats) -> Floats:
    return np.divide(hits, listed, out=np.ones(len(listed)), where=listed > 0)
