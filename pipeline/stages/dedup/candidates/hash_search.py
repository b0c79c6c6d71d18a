"""Multi-index hashing (Norouzi, Punjani and Fleet 2012): every pair of hashes within a Hamming radius, exact.

    |h - h'| <= r  implies  |h_g - h'_g| <= r // G  in one of G groups of bits

It is near-linear in the number of images, and looks at all eight orientations: cut the bits into groups and each group
into parts. If two hashes differ in at most r bits, then in one of g groups they differ in at most r // g of them, so
all but r // g of its parts are equal. Such equal parts are the key of a bucket, there is a key for every choice of
parts, and only hashes that share a bucket are compared. How many groups and parts cost least follows from the number of
images (`choose_keys`); the pairs found do not depend on it.

Floods are bounded: an image is paired with MOST near ones before it at most, and of images with the same hashes in all
orientations (fifty thousand blank images) only the first MOST are sought at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from math import comb
from pathlib import Path

import faiss
import numpy as np
from faiss.contrib.ivf_tools import add_preassigned, range_search_preassigned
from numpy.typing import NDArray

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.core.orientations import COUNT, IDENTITY

MOST = 50  # near ones listed of an image; of a real image there are a handful
BLOCK = 1 << 15  # images whose hashes are looked up at once
COMPARED = 1 << 24  # hashes compared at once: bounds the memory, were all of them near
SHARD_SECONDS = 5.0
STRIDE = 75  # spreads the bits of a key over the frequencies, since neighbours are correlated
MAX_KEY_BITS = 22

# From what follows the cheapest plan: seconds on one core to look up a hash, to compare two, to make a bucket.
LOOKUP, COMPARISON, BUCKET = 160e-9, 0.9e-9, 100e-9
PARTING = 0.96  # of one bit by a bit of a key: real bits are neither even nor independent


def near_hashes(
    phash: NDArray[np.uint8], *, max_distance_bits: int, engine: Engine = "local", scratch: Path | None = None
) -> NDArray[np.int64]:
    """Find every pair whose hashes are near: that of the first image, and the other's in one of its eight orientations.

    Args:
        phash: (images, 8 * bytes), orientation by orientation.
        max_distance_bits: inclusive.
        engine: where the work is done.
        scratch: for what all workers read, and for finished work; without it all is done in this process.

    Returns:
        (pairs, 2) positions, the smaller first, sorted. None is missed, except that an image with more than MOST near
        ones before it is paired with MOST of them.

    """
    rows = np.ascontiguousarray(phash)
    sought, floods = _without_floods(rows)
    hashes = rows[sought]
    keys = choose_keys(len(hashes), bits=8 * rows.shape[1] // COUNT, max_distance_bits=max_distance_bits)
    shards = _shards(keys, len(hashes))
    if scratch is None or len(shards) == 1:
        near = _search(keys, hashes=hashes, max_distance_bits=max_distance_bits)
    else:
        shared = SharedArrays.write(scratch, [{"hashes": hashes}])
        search = partial(_search_shared, shared=shared, max_distance_bits=max_distance_bits)
        near = _first(
            np.concatenate(list(map_shards(search, shards, label="compare hashes", engine=engine, scratch=scratch)))
        )
    pairs = np.concatenate([sought[np.stack([_earlier(near), _later(near)], axis=1)], floods])
    return pairs[np.lexsort(pairs.T[::-1])]


def choose_keys(hashes: int, *, bits: int, max_distance_bits: int) -> list[NDArray[np.int64]]:
    """Choose the keys that find all pairs at the least cost.

    Args:
        hashes: how many are sought in each other, in 8 orientations each.
        bits: of a hash.
        max_distance_bits: in which two may differ.

    Returns:
        the positions of the bits that make up each key. A key of no bits compares all with all.

    """
    plans = [(1, 1, 1)]  # groups, parts of each, parts that may differ
    for groups in range(1, bits + 1):
        differing = max_distance_bits // groups
        plans += [(groups, parts, differing) for parts in range(differing + 1, bits // groups + 1)]
    plans = [plan for plan in plans if _key_bits(*plan, bits=bits) <= MAX_KEY_BITS]
    groups, parts, differing = min(plans, key=lambda plan: _seconds(*plan, hashes=hashes, bits=bits))
    spread = np.arange(bits) * STRIDE % bits
    return [
        np.concatenate([spread[:0], *chosen])
        for group in np.array_split(spread, groups)
        for chosen in combinations(np.array_split(group, parts), parts - differing)
    ]


def _seconds(groups: int, parts: int, differing: int, *, hashes: int, bits: int) -> float:
    """Estimate what a plan costs on one core."""
    key_bits = _key_bits(groups, parts, differing, bits=bits)
    return groups * comb(parts, differing) * _key_seconds(key_bits, hashes)


def _key_bits(groups: int, parts: int, differing: int, *, bits: int) -> float:
    return bits / groups * (1 - differing / parts)


def _key_seconds(key_bits: float, hashes: int) -> float:
    compared = hashes / 2 / 2 ** (PARTING * key_bits)
    return COUNT * hashes * (LOOKUP + COMPARISON * compared) + BUCKET * 2**key_bits


def _shards(keys: list[NDArray[np.int64]], hashes: int) -> list[list[NDArray[np.int64]]]:
    """Share the keys out, so that a shard takes some seconds."""
    count = sum(_key_seconds(len(key), hashes) for key in keys) / SHARD_SECONDS
    count = min(max(int(count), 1), len(keys))
    return [keys[i::count] for i in range(count)]


def _search_shared(
    keys: list[NDArray[np.int64]], *, shared: SharedArrays, max_distance_bits: int
) -> NDArray[np.uint64]:
    return _search(keys, hashes=shared["hashes"], max_distance_bits=max_distance_bits)


def _search(keys: list[NDArray[np.int64]], *, hashes: NDArray[np.uint8], max_distance_bits: int) -> NDArray[np.uint64]:
    """Find near hashes that share a bucket of one of the keys.

    Args:
        keys: the positions of their bits.
        hashes: (hashes, 8 * bytes).
        max_distance_bits: inclusive.

    Returns:
        pairs as `_first` returns them.

    """
    oriented = hashes.reshape(len(hashes), COUNT, -1)
    near = np.zeros(0, np.uint64)
    for key in keys:
        seeking = np.bincount(_later(near), minlength=len(hashes)) < MOST
        parts = _in_buckets(oriented, key, seeking=seeking, max_distance_bits=max_distance_bits)
        near = _first(np.concatenate([near, *parts]))
    return near


def _in_buckets(
    oriented: NDArray[np.uint8], key: NDArray[np.int64], *, seeking: NDArray[np.bool_], max_distance_bits: int
) -> Iterator[NDArray[np.uint64]]:
    """Compare each hash, where it is sought, with those before it in the buckets of its eight orientations."""
    width = oriented.shape[2]
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(8 * width), 8 * width, 1 << len(key))
    index.is_trained, index.nprobe = True, 1
    sizes = np.zeros(1 << len(key), np.int64)
    for start in range(0, len(oriented), BLOCK):
        rows = oriented[start : start + BLOCK].reshape(-1, width)
        buckets = _buckets(rows, key)
        own = IDENTITY + COUNT * np.argsort(buckets[IDENTITY::COUNT], kind="stable")
        numbers = start + own // COUNT  # named, since `add_preassigned` lets go of its own reference before it is done
        add_preassigned(index, rows.take(own, axis=0), buckets[own].astype(np.int64), numbers)
        sizes += np.bincount(buckets[own], minlength=len(sizes))

        sought = np.flatnonzero(np.repeat(seeking[start : start + BLOCK], COUNT))
        sought = sought[np.argsort(buckets[sought], kind="stable")]  # those of one bucket meet in the processor's cache
        compared = np.cumsum(sizes[buckets[sought]])
        for some in np.split(sought, np.flatnonzero(np.diff(compared // COMPARED)) + 1):
            lists = buckets[some].astype(np.int64)[:, None]
            limits, _, hits = range_search_preassigned(index, rows.take(some, axis=0), max_distance_bits + 1, lists)
            limits = limits.astype(np.int64)
            listed = np.minimum(np.diff(limits), MOST)  # a bucket is in order, so these are the first
            earlier, later = hits[_ranges(limits[:-1], listed)], np.repeat(start + some // COUNT, listed)
            yield _first(_pairs(earlier[earlier < later], later[earlier < later]))


def _buckets(rows: NDArray[np.uint8], key: NDArray[np.int64]) -> NDArray[np.uint16 | np.uint32]:
    """Number the bucket of every hash, (hashes, bytes): its bits at the key's positions."""
    kind = np.uint16 if len(key) <= 16 else np.uint32  # noqa: PLR2004 - bits; numpy sorts those of 16 in linear time
    buckets: NDArray[np.uint16 | np.uint32] = np.zeros(len(rows), kind)
    for place, bit in enumerate(key.tolist()):
        buckets += (rows[:, bit // 8] >> (7 - bit % 8) & 1).astype(kind) << kind(place)
    return buckets


def _pairs(earlier: NDArray[np.int64], later: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Write pairs of numbers as one number each, so that they sort fast."""
    return later.astype(np.uint64) << np.uint64(32) | earlier.astype(np.uint64)


def _earlier(pairs: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _later(pairs: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (pairs >> np.uint64(32)).astype(np.int64)


def _first(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Drop repeats, and for each later one all but its first MOST earlier ones; sorted by the later ones."""
    pairs = np.sort(pairs)
    pairs = pairs[np.diff(pairs, prepend=np.uint64(0)) != 0]  # no pair is 0: that would be an image with itself
    later = _later(pairs)
    kept: NDArray[np.uint64] = pairs[np.arange(len(later)) - np.searchsorted(later, later) < MOST]
    return kept


def _without_floods(rows: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leave out the images after the first MOST that have the same hashes in all orientations.

    Args:
        rows: (images, bytes).

    Returns:
        positions of the images that are left; (pairs, 2) of each that is not with the first MOST that have its hashes.

    """
    _, alike = np.unique(rows.view(f"V{rows.shape[1]}").ravel(), return_inverse=True)
    order = np.argsort(alike, kind="stable")
    starts = np.searchsorted(alike[order], alike[order])
    left_out = np.arange(len(order)) - starts >= MOST
    firsts = order[starts[left_out, None] + np.arange(MOST)]
    pairs = np.stack([firsts.ravel(), np.repeat(order[left_out], MOST)], axis=1)
    return np.sort(order[~left_out]), pairs


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of ranges, one after the other."""
    return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
