"""Collections of any size, drawn like real ones, with planted copies: perceptual hashes, embeddings, local features.

Copies come in clusters of at most six images. What is planted is known; what else is near by chance is for an exact
search to say.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bench.search.copula import Copula, load, scores, values
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
PICTURE = (300, 225)  # working pixels

Array = np.ndarray[Any, Any]


def draw(kind: str, images: int, *, seed: int) -> dict[str, Array]:
    """Draw a collection of one of `KINDS`.

    Returns:
        original: (images,) the number of the original that each shows; and of
        hashes: phash (images, 256) uint8, the pipeline's own of pictures with the cosine coefficients that are drawn;
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


def planted(original: Array) -> Array:
    """List the pairs that show one original: (pairs, 2) positions, the smaller first, sorted."""
    order = np.argsort(original, kind="stable")
    cuts = np.flatnonzero(np.diff(original[order])) + 1
    pairs = [pair for members in np.split(order, cuts) for pair in combinations(members.tolist(), 2)]
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def spread(images: int, count: int) -> Array:
    """Choose so many images, or all, evenly."""
    return np.unique(np.arange(count) * images // max(count, 1)) if count < images else np.arange(images)


def _block(block: tuple[int, int], *, kind: str, seed: int) -> dict[str, Array]:
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


def _like(normal: Array, of: Array, rng: np.random.Generator, *, least: float = LEAST_CORRELATION) -> Array:
    """Make the normal scores of copies like those of their originals."""
    copies = np.flatnonzero(of != np.arange(len(of)))
    likeness = rng.uniform(least, 1, (len(copies), *[1] * (normal.ndim - 1))).astype(np.float32)
    normal[copies] = likeness * normal[of[copies]] + np.sqrt(1 - likeness**2) * normal[copies]
    return normal


def _hashes(copula: Copula, of: Array, rng: np.random.Generator) -> dict[str, Array]:
    coefficients = values(copula, _like(scores(copula, len(of), rng), of, rng))
    back = np.linalg.pinv(COSINES)
    squares = back @ coefficients.reshape(-1, SIDE, SIDE) @ back.T
    for copy in np.flatnonzero(of != np.arange(len(of))):
        squares[copy] = orient(squares[copy], int(rng.integers(COUNT)))
    squares = np.ascontiguousarray(squares.swapaxes(0, 1))
    phash = perceptual_hashes(squares)
    return {"phash": phash.reshape(len(of), -1)}


def _vectors(copula: Copula, of: Array, rng: np.random.Generator) -> dict[str, Array]:
    drawn = values(copula, _like(scores(copula, len(of), rng), of, rng))
    return {"vectors": drawn / np.linalg.norm(drawn, axis=1, keepdims=True)}


def _features(copula: Copula, of: Array, rng: np.random.Generator) -> dict[str, Array]:
    count = len(of)
    normal = scores(copula, count * FEATURES, rng).reshape(count, FEATURES, -1)
    kept = int(KEPT_SHARE * FEATURES)
    normal[:, :kept] = _like(normal[:, :kept], of, rng, least=0.95)
    drawn = values(copula, normal.reshape(count * FEATURES, -1)).reshape(normal.shape)
    turned, grown = rng.uniform(0, 2 * np.pi, (count, 1)), rng.uniform(-1, 1, (count, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, FEATURES))
    angle = np.where(np.arange(FEATURES) < kept, angle[of] + turned, angle) % (2 * np.pi)
    place = rng.uniform(0, PICTURE, (count, FEATURES, 2))
    points = np.concatenate([place, (drawn[..., -1] + grown)[..., None], angle[..., None]], axis=2)
    return {
        "points": points.reshape(-1, 4).astype(np.float32),
        "descriptors": np.clip(np.rint(drawn[..., :-1]), 0, 255).astype(np.uint8).reshape(count * FEATURES, -1),
        "owners": np.repeat(np.arange(count), FEATURES),
    }
