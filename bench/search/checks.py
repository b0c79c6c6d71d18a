"""Whether a search found what it should: planted pairs, and an exact search for a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from bench.search.drawn import planted
from pipeline.core.orientations import COUNT, IDENTITY
from pipeline.stages.dedup.candidates.pairs import distinct

SAMPLE = 1000
BLOCK = 4096

Pairs = NDArray[np.int64]


def check(
    kind: str, given: Mapping[str, NDArray[Any]], found: Pairs, *, reach: int, asked: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Check what was found, (pairs, 2), of a collection as `drawn.draw` makes it; only some images may have asked."""
    pairs = planted(given["original"])
    sample = np.random.default_rng(0).permutation(len(given["original"]))[:SAMPLE]
    if kind == "hashes":
        near = pairs[distances(given["phash"], pairs) <= reach]
        exact = near_of(given["phash"], np.sort(sample), reach=reach)
        sampled = found[np.isin(found[:, 0], sample)]
        return {
            "planted": len(near),
            "planted_missed": int((~among(near, found)).sum()),
            "sampled": len(exact),
            "sampled_missed": int((~among(exact, sampled)).sum()),
            "sampled_invented": int((~among(sampled, exact)).sum()),
        }
    if asked is not None:
        pairs = pairs[np.isin(pairs, asked).any(axis=1)]
    shown = np.bincount(given["original"])[given["original"][pairs[:, 0]]]
    pairs = pairs[shown <= reach + 1] if kind == "vectors" else pairs  # more copies than neighbours cannot all be found
    share = {"planted": len(pairs), "planted_recall": round(float(among(pairs, found).mean()), 4)}
    if kind == "vectors":
        exact = nearest_of(given["vectors"], sample, reach=reach)
        share["recall"] = round(float(among(exact.reshape(-1, 2), found).mean()), 4)
        share["recall_of_nearest"] = round(float(among(exact[:, 0], found).mean()), 4)
    return share


def unlike(found: Pairs, others: Pairs) -> int:
    """Count the pairs that only one of two searches found."""
    return int((~among(found, others)).sum() + (~among(others, found)).sum())


def near_of(phash: NDArray[np.uint8], sample: NDArray[np.int64], *, reach: int) -> Pairs:
    """Compare the sampled images, sorted, with all that come later; the result is as `near_hashes` says."""
    oriented = phash.reshape(len(phash), COUNT, -1)
    index = faiss.IndexBinaryFlat(8 * oriented.shape[2])
    index.add(np.ascontiguousarray(oriented[sample, IDENTITY]))
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(oriented), BLOCK):
        block = oriented[start : start + BLOCK]
        limits, _, hits = index.range_search(block.reshape(-1, oriented.shape[2]), reach + 1)
        later = start + np.repeat(np.arange(COUNT * len(block)) // COUNT, np.diff(limits.astype(np.int64)))
        earlier = sample[hits]
        found.append(np.stack([earlier, later], axis=1)[earlier < later])
    return distinct(np.concatenate(found))


def nearest_of(vectors: NDArray[np.float32], sample: NDArray[np.int64], *, reach: int) -> NDArray[np.int64]:
    """Return each sampled image with its nearest, the nearest first: (sample, reach, 2)."""
    best = faiss.ResultHeap(len(sample), reach + 1, keep_max=True)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        cosines = vectors[sample] @ block.T
        own = (sample >= start) & (sample < start + len(block))
        cosines[own, sample[own] - start] = -np.inf
        order = np.argsort(-cosines, axis=1)[:, : reach + 1]
        best.add_result(np.take_along_axis(cosines, order, axis=1), order + start)
    best.finalize()
    return np.stack(np.broadcast_arrays(sample[:, None], best.I[:, :reach]), axis=2)


def distances(phash: NDArray[np.uint8], pairs: Pairs) -> NDArray[np.int64]:
    """Hamming distance of each pair's hashes, the smallest over b's 8 orientations: (pairs,)."""
    oriented = phash.reshape(len(phash), COUNT, -1)
    found = np.zeros(len(pairs), np.int64)
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        differing = oriented[block[:, 0], None, IDENTITY] ^ oriented[block[:, 1]]
        found[start : start + len(block)] = np.bitwise_count(differing).sum(2, dtype=np.int64).min(1)
    return found


def among(pairs: Pairs, found: Pairs) -> NDArray[np.bool_]:
    """Say of each pair, in any order, whether it is among those found, (pairs, 2) with the smaller first."""
    low, high = np.sort(pairs, axis=1).T.astype(np.int64)
    return np.isin(low << 32 | high, found[:, 0].astype(np.int64) << 32 | found[:, 1])
