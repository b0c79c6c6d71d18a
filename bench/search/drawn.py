"""Collections of any size, drawn like real ones, with planted copies: perceptual hashes, embeddings, local features.

Copies come in clusters of at most six images. What is planted is known; what else is near by chance is for an exact
search to say.

Rows are drawn like given ones by a Gaussian copula: normal variables with the given rows' correlations (those of their
normal scores), each mapped to the quantiles of its column. What is kept of the given rows are quantiles and
correlations of thousands of them, nothing of any one, so it may lie in git where the rows themselves may not.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pipeline.core.engine import map_shards
from pipeline.core.orientations import COUNT, orient
from pipeline.stages.fingerprint.hashes import COSINES, SIDE, perceptual_hashes

STATISTICS = Path(__file__).parent / "statistics"
KINDS = ("hashes", "vectors", "features")
BLOCK = {"hashes": 4096, "vectors": 4096, "features": 256}  # images drawn at once, with a seed of their own
COPIED_SHARE = 0.1  # of the originals
MOST_COPIES = 5  # of one original
LEAST_CORRELATION = 0.9  # of a copy's normal scores with its original's: up to 37 of 256 bits differ, say
FEATURES = 200  # of an image
KEPT_SHARE = 0.5  # of an original's features in its copies
ASKING = 2000  # images, where one asks for some only
IMAGE_SIZE = (300, 225)  # working pixels

LEVELS = np.linspace(-3, 3, 33)  # normal scores of the quantiles that are kept; beyond the last, values repeat it

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Drawn = dict[str, NDArray[Any]]


def draw(kind: str, images: int, *, seed: int) -> Drawn:
    """Draw a collection of one of `KINDS`.

    Returns:
        original: (images,) the number of the original that each shows; and of
        hashes: phash (images, 256) uint8, the pipeline's own of images with the cosine coefficients that are drawn;
            copies lie in any orientation.
        vectors: vectors (images, dimensions) float32, unit norm.
        features: points (n, 4) float32, descriptors (n, 128) uint8, owners (n,), as `features.extract`; copies
            are turned and scaled.

    """
    blocks = [(start, min(BLOCK[kind], images - start)) for start in range(0, images, BLOCK[kind])]
    parts = list(map_shards(partial(_block, kind=kind, seed=seed), blocks, label=f"draw {kind}"))
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if kind == "features":  # an image has many rows, so images stay beside their copies
        return drawn
    mixed = np.random.default_rng(seed).permutation(images)
    return {name: rows[mixed] for name, rows in drawn.items()}


def planted(original: Numbers) -> Numbers:
    """List the pairs that show one original: (pairs, 2) positions, the smaller first, sorted."""
    order = np.argsort(original, kind="stable")
    cuts = np.flatnonzero(np.diff(original[order])) + 1
    pairs = [pair for members in np.split(order, cuts) for pair in combinations(members.tolist(), 2)]
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def spread(images: int, count: int) -> Numbers:
    """Choose so many images, or all, evenly."""
    return np.unique(np.arange(count) * images // max(count, 1)) if count < images else np.arange(images)


class Copula(NamedTuple):
    """What is kept of the given rows.

    quantiles: (levels, columns) of the values.
    factor: (columns, rank) loadings of the strongest common factors of the normal scores.
    rest: (columns,) standard deviation of what they leave.
    """

    quantiles: Floats
    factor: Floats
    rest: Floats


def fit(rows: Floats, *, rank: int) -> Copula:
    """Keep quantiles and correlations of rows, (rows, columns)."""
    scores = norm.ppf((rankdata(rows, axis=0) - 0.5) / len(rows))
    values, vectors = np.linalg.eigh(np.cov(scores.T))
    factor = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0))
    rest = np.sqrt(np.maximum(scores.var(0) - (factor**2).sum(1), 0))
    quantiles = np.quantile(rows, norm.cdf(LEVELS), axis=0)
    return Copula(*(part.astype(np.float32) for part in (quantiles, factor, rest)))


def scores(copula: Copula, count: int, rng: np.random.Generator) -> Floats:
    """Draw normal scores, (count, columns) float32."""
    columns, rank = copula.factor.shape
    common = rng.standard_normal((count, rank), np.float32) @ copula.factor.T
    drawn: Floats = common + copula.rest * rng.standard_normal((count, columns), np.float32)
    return drawn


def values(copula: Copula, normal: Floats) -> Floats:
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


def _block(block: tuple[int, int], *, kind: str, seed: int) -> Drawn:
    start, count = block
    rng = np.random.default_rng([seed, start])
    copies = np.where(rng.random(count) < COPIED_SHARE, rng.integers(1, MOST_COPIES + 1, count), 0)
    original = np.repeat(np.arange(count), 1 + copies)[:count]
    of = np.searchsorted(original, original)  # where each one's original lies: itself if it is one
    copula = load(STATISTICS / f"{kind}.npz")
    rows = {"hashes": _hashes, "vectors": _vectors, "features": _features}[kind](copula, of, rng)
    if "owners" in rows:
        rows["owners"] += start
    return {"original": original + start, **rows}


def _like(normal: Floats, of: Numbers, rng: np.random.Generator, *, least: float = LEAST_CORRELATION) -> Floats:
    """Make the normal scores of copies like those of their originals."""
    copies = np.flatnonzero(of != np.arange(len(of)))
    likeness = rng.uniform(least, 1, (len(copies), *[1] * (normal.ndim - 1))).astype(np.float32)
    normal[copies] = likeness * normal[of[copies]] + np.sqrt(1 - likeness**2) * normal[copies]
    return normal


def _hashes(copula: Copula, of: Numbers, rng: np.random.Generator) -> Drawn:
    coefficients = values(copula, _like(scores(copula, len(of), rng), of, rng))
    back = np.linalg.pinv(COSINES)
    squares = back @ coefficients.reshape(-1, SIDE, SIDE) @ back.T
    for copy in np.flatnonzero(of != np.arange(len(of))):
        squares[copy] = orient(squares[copy], int(rng.integers(COUNT)))
    squares = np.ascontiguousarray(squares.swapaxes(0, 1))
    # What is drawn is not rounded to bytes.
    phash = perceptual_hashes(squares)  # type: ignore[arg-type]
    return {"phash": phash.reshape(len(of), -1)}


def _vectors(copula: Copula, of: Numbers, rng: np.random.Generator) -> Drawn:
    drawn = values(copula, _like(scores(copula, len(of), rng), of, rng))
    return {"vectors": drawn / np.linalg.norm(drawn, axis=1, keepdims=True)}


def _features(copula: Copula, of: Numbers, rng: np.random.Generator) -> Drawn:
    count = len(of)
    normal = scores(copula, count * FEATURES, rng).reshape(count, FEATURES, -1)
    kept = int(KEPT_SHARE * FEATURES)
    normal[:, :kept] = _like(normal[:, :kept], of, rng, least=0.95)
    drawn = values(copula, normal.reshape(count * FEATURES, -1)).reshape(normal.shape)
    turned, grown = rng.uniform(0, 2 * np.pi, (count, 1)), rng.uniform(-1, 1, (count, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, FEATURES))
    angle = np.where(np.arange(FEATURES) < kept, angle[of] + turned, angle) % (2 * np.pi)
    place = rng.uniform(0, IMAGE_SIZE, (count, FEATURES, 2))
    points = np.concatenate([place, (drawn[..., -1] + grown)[..., None], angle[..., None]], axis=2)
    return {
        "points": points.reshape(-1, 4).astype(np.float32),
        "descriptors": np.clip(np.rint(drawn[..., :-1]), 0, 255).astype(np.uint8).reshape(count * FEATURES, -1),
        "owners": np.repeat(np.arange(count), FEATURES),
    }
