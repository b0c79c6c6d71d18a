"""Cluster bootstrap with percentile intervals: groups are drawn with replacement, with all their images.

Images of one lesion or patient say nearly the same thing, so to resample images would promise too much.

A resample is a row of weights (how often each image was drawn), so every metric takes weights and scores all resamples
in one array operation. All models are scored on the same resamples, which makes differences between them paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Metrics = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]

MAX_CELLS = 4_000_000  # weights held at a time


@dataclass(frozen=True)
class Estimate:
    """A figure, and its value on each resample, (resamples,)."""

    value: float
    draws: NDArray[np.float64]

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the percentile interval; resamples on which the figure does not exist are left out."""
        draws = self.draws[np.isfinite(self.draws)]
        if not len(draws):
            return float("nan"), float("nan")
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)


def draw_groups(groups: int, resamples: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw `groups` groups with replacement, `resamples` times: counts of shape (resamples, groups)."""
    return np.stack([np.bincount(rng.integers(groups, size=groups), minlength=groups) for _ in range(resamples)])


def estimate(metrics: Metrics, group_of: NDArray[np.integer], draws: NDArray[np.integer]) -> dict[str, Estimate]:
    """Score the images as they are, and on every resample.

    Args:
        metrics: from weights of shape (resamples, images) to each figure, an array of shape (resamples,).
        group_of: number of each image's group, (images,).
        draws: from `draw_groups`.

    """
    values = metrics(np.ones((1, len(group_of))))
    chunks = [metrics(weights) for weights in _weights(group_of, draws)]
    return {
        name: Estimate(float(value[0]), np.concatenate([c[name] for c in chunks])) for name, value in values.items()
    }


def mean(estimates: list[Estimate]) -> Estimate:
    """Average figures that were scored on the same resamples, such as those of several seeds."""
    values, draws = [e.value for e in estimates], [e.draws for e in estimates]
    return Estimate(float(np.mean(values)), np.mean(draws, axis=0))


def two_sided_p(difference: Estimate) -> float:
    """Return the p value of no difference: twice the smaller share of resamples on either side of zero.

    One is added to both counts (Davison and Hinkley 1997), so that no finite number of resamples says 0.
    """
    draws = difference.draws[np.isfinite(difference.draws)]
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(draws) + 1)))


def _weights(group_of: NDArray[np.integer], draws: NDArray[np.integer]) -> Iterator[NDArray[np.float64]]:
    step = max(1, MAX_CELLS // max(1, len(group_of)))
    for start in range(0, len(draws), step):
        yield draws[start : start + step][:, group_of].astype(np.float64)
