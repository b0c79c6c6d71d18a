"""Rows of numbers that are drawn like given ones: with their marginal distributions and their correlations.

A Gaussian copula: normal variables with the given rows' correlations (those of their normal scores), each mapped to the
quantiles of its column. What is kept of the given rows are quantiles and correlations of thousands of them, nothing of
any one, so it may lie in git where the rows themselves may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

LEVELS = np.linspace(-3, 3, 33)  # normal scores at which the quantiles are kept; beyond the last, values repeat it

Array = np.ndarray[Any, Any]


class Copula(NamedTuple):
    """What is kept of the given rows.

    quantiles: (levels, columns) of the values.
    factor: (columns, rank) loadings of the strongest common factors of the normal scores.
    rest: (columns,) standard deviation of what they leave.
    """

    quantiles: Array
    factor: Array
    rest: Array


def fit(rows: Array, *, rank: int) -> Copula:
    """Keep quantiles and correlations of rows, (rows, columns)."""
    scores = norm.ppf((rankdata(rows, axis=0) - 0.5) / len(rows))
    values, vectors = np.linalg.eigh(np.cov(scores.T))
    factor = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0))
    rest = np.sqrt(np.maximum(scores.var(0) - (factor**2).sum(1), 0))
    quantiles = np.quantile(rows, norm.cdf(LEVELS), axis=0)
    return Copula(*(part.astype(np.float32) for part in (quantiles, factor, rest)))


def scores(copula: Copula, count: int, rng: np.random.Generator) -> Array:
    """Draw normal scores, (count, columns) float32."""
    columns, rank = copula.factor.shape
    common = rng.standard_normal((count, rank), np.float32) @ copula.factor.T
    drawn: Array = common + copula.rest * rng.standard_normal((count, columns), np.float32)
    return drawn


def values(copula: Copula, normal: Array) -> Array:
    """Map normal scores, (count, columns), to values like the given ones, float32."""
    mapped = [np.interp(normal[:, i], LEVELS, copula.quantiles[:, i]) for i in range(normal.shape[1])]
    return np.stack(mapped, axis=1).astype(np.float32)


def save(copula: Copula, path: Path) -> None:
    """Write to a small file."""
    np.savez_compressed(path, **{name: part.astype(np.float16) for name, part in copula._asdict().items()})


def load(path: Path) -> Copula:
    """Read what `save` wrote."""
    with np.load(path) as parts:
        return Copula(*(parts[name].astype(np.float32) for name in Copula._fields))
