"""How good a ranking of suspects is, and how sure that one is better than another."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Ranking:
    """A ranking of images, ready to be measured under many weightings.

    Args:
        score: (n,) higher is more suspect; equal scores are taken all or none.
        wrong: (n,) which images are to be found.

    """

    def __init__(self, score: Array, wrong: Array) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        self.last = np.append(np.flatnonzero(np.diff(ordered)), len(score) - 1)  # of each run of equal scores
        self.wrong = wrong[self.order]

    def average_precision(self, weight: Array | None = None) -> float:
        """Return the area under precision and recall, steps as scikit-learn takes them.

        Args:
            weight: (n,) of each image; each counts once if None.

        """
        taken, hits = self._counts(weight)
        return float((np.diff(hits, prepend=0.0) * hits / np.maximum(taken, 1e-12)).sum() / hits[-1])

    def auroc(self, weight: Array | None = None) -> float:
        """Return the area under the ROC curve."""
        taken, hits = self._counts(weight)
        rest = taken - hits
        middle = (hits + np.append(0.0, hits[:-1])) / 2
        return float((np.diff(rest, prepend=0.0) * middle).sum() / (hits[-1] * rest[-1]))

    def precision_at(self, count: int) -> float:
        """Return the share of errors among the first `count`; among equal scores the expected one."""
        return self._found(count) / count

    def recall_at(self, count: int) -> float:
        """Return the share of all errors among the first `count`."""
        return self._found(count) / float(self.wrong.sum())

    def _counts(self, weight: Array | None) -> tuple[Array, Array]:
        """Count images and errors, each weighted, down to the end of each run of equal scores."""
        ordered = np.ones(len(self.order)) if weight is None else weight[self.order]
        return np.cumsum(ordered)[self.last], np.cumsum(ordered * self.wrong)[self.last]

    def _found(self, count: int) -> float:
        taken, hits = self._counts(None)
        return float(np.interp(count, np.append(0, taken), np.append(0, hits)))


def measure(score: Array, wrong: Array) -> dict[str, float]:
    """Return AUROC, average precision, precision at the number of errors and recall at twice that."""
    ranking, errors = Ranking(score, wrong), int(wrong.sum())
    return {
        "auroc": ranking.auroc(),
        "average_precision": ranking.average_precision(),
        "precision_at_errors": ranking.precision_at(errors),
        "recall_at_twice": ranking.recall_at(min(2 * errors, len(score))),
    }


def paired_bootstrap(
    scores: list[dict[str, Array]], wrong: list[Array], lesion: Array, *, ours: str, draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Bound how much better the average precision of `ours` is than that of each other, by resampling lesions.

    A draw resamples the lesions once and applies to every seed and method; a difference is the mean over seeds.

    Args:
        scores: for each seed, the (n,) scores of each method.
        wrong: for each seed, (n,).
        lesion: (n,) numbers.
        ours: the method that the others are held against.
        draws: how many.
        seed: of the draws.

    Returns:
        for every other method the 2.5% and 97.5% quantiles of the difference.

    """
    rng = np.random.default_rng(seed)
    rankings = [
        {name: Ranking(score, bad) for name, score in of.items()} for of, bad in zip(scores, wrong, strict=True)
    ]
    lesions = int(lesion.max()) + 1
    found: dict[str, list[float]] = {name: [] for name in scores[0] if name != ours}
    for _ in range(draws):
        weight = np.bincount(rng.integers(0, lesions, lesions), minlength=lesions)[lesion].astype(np.float64)
        own = [of[ours].average_precision(weight) for of in rankings]
        for name, differences in found.items():
            theirs = [of[name].average_precision(weight) for of in rankings]
            differences.append(float(np.mean(np.subtract(own, theirs))))
    return {name: (float(np.quantile(v, 0.025)), float(np.quantile(v, 0.975))) for name, v in found.items()}
