"""The exact interval of a share."""

from __future__ import annotations

from scipy.stats import beta

CONFIDENCE = 0.95


def exact_interval(count: int, total: int) -> tuple[float, float]:
    """Return the interval of a share, `count` of `total` (Clopper and Pearson 1934)."""
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high
