"""Candidates that neither hash nor embedding sees: pairs for which local features vote.

Heavy crops, screenshots, borders and labels change a picture as a whole and leave its details. Every detail looks up
its nearest details among all pictures, mirrored too, and each hit is a vote for a pair and a turn (weak geometric
consistency: Jégou, Douze and Schmid 2008): of a true pair the votes agree on how far the picture was turned and scaled,
of a chance one they scatter. A detail votes for few neighbours only, so one that many pictures share (a logo, a ruler)
scatters its votes too.

Details are filed in inverted lists (Jégou, Douze and Schmid 2011) with 4 bits for every 4 numbers, which a processor
compares dozens at once (André, Kermarrec and Le Scouarnec 2017); the best are ranked by their descriptors, which all
workers map from one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.stages.dedup.features import mirror
from pipeline.stages.dedup.pairs import distinct

LISTS_PER_ROOT = 1  # inverted lists by the root of the number of details
TRAINING_POINTS = 40  # by list
ITERATIONS = 6  # of k-means
PROBES = 6  # lists that are looked through
CODED = 4  # numbers of a descriptor that share a code of 4 bits
RANKED = 4  # times as many as vote
NEAREST = 6  # details that one detail votes for
TURNS = 12  # bins of the angle
OCTAVES = 16  # bins of the scale, one a factor of two; far more than pictures differ
SHARD = 256  # pictures whose details vote at once
FILED = 1 << 18  # details at once
COMPARED = 1 << 13  # likewise: bounds the memory

Array = np.ndarray[Any, Any]
Features = SharedArrays | Mapping[str, Array]


def voted_pairs(
    features: Features,
    *,
    voters: int,
    min_votes: int,
    engine: Engine = "local",
    scratch: Path | None = None,
    asking: Array | None = None,
) -> Array:
    """Find pairs of pictures with enough votes that agree on turn and scale.

    Args:
        features: of all pictures, the strongest of each first: points (details, 4): x, y, log2 size, angle; descriptors
            (details, 128) uint8; owners (details,) position of the picture, ascending.
        voters: details of a picture that vote and are voted for.
        min_votes: in a bin and its neighbours.
        engine: where the work is done.
        scratch: for the index that all workers read, and for finished work; without it all is done in this process.
        asking: positions of the pictures whose details look for their like among those of all; None: all of them.

    Returns:
        (pairs, 2) positions, the smaller first, sorted.

    """
    owners = features["owners"]
    rows = np.flatnonzero(np.arange(len(owners)) - np.searchsorted(owners, owners) < voters)
    if len(rows) <= NEAREST:
        return np.zeros((0, 2), np.int64)
    asks = rows if asking is None else rows[np.isin(owners[rows], asking)]
    cuts = np.searchsorted(owners[asks], np.arange(0, owners[-1] + SHARD + 1, SHARD))
    shards = [asks[start:stop] for start, stop in pairwise(cuts) if start < stop]
    if scratch is None or len(shards) == 1:
        index = _index(features["descriptors"], rows)
        found = [_vote(shard, features=features, index=index, min_votes=min_votes) for shard in shards]
    else:
        path = scratch / "details.index"
        if not path.exists():
            _save(_index(features["descriptors"], rows), path)
        vote = partial(_vote_shared, features=features, path=path, min_votes=min_votes)
        found = list(map_shards(vote, shards, label="votes", engine=engine, scratch=scratch))
    return distinct(np.concatenate([np.zeros((0, 2), np.int64), *found]))


def _index(descriptors: Array, rows: Array) -> faiss.Index:
    """File the details in these rows, each under its row: as they are if few, else in inverted lists."""
    width = descriptors.shape[1]
    lists = int(LISTS_PER_ROOT * np.sqrt(len(rows)))
    if len(rows) < TRAINING_POINTS * lists:
        index: faiss.Index = faiss.IndexIDMap(faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit_direct))
    else:
        index = faiss.index_factory(width, f"IVF{lists},PQ{width // CODED}x4fs")
        assert isinstance(index, faiss.IndexIVF)  # noqa: S101 - it says IVF
        index.cp.niter = ITERATIONS
        step = len(rows) // (TRAINING_POINTS * lists)
        with threadpool_limits(1):  # training is many small steps, whose sums shall not depend on the number of threads
            index.train(descriptors[rows[::step]].astype(np.float32))
        index.nprobe = PROBES
    for start in range(0, len(rows), FILED):
        some = rows[start : start + FILED]
        index.add_with_ids(descriptors[some].astype(np.float32), some)
    return index


def _save(index: faiss.Index, path: Path) -> None:
    partial_path = path.with_suffix(".partial")
    faiss.write_index(index, str(partial_path))
    partial_path.replace(path)


@lru_cache(maxsize=1)
def _load(path: Path) -> faiss.Index:
    return faiss.read_index(str(path))


def _vote_shared(rows: Array, *, features: Features, path: Path, min_votes: int) -> Array:
    return _vote(rows, features=features, index=_load(path), min_votes=min_votes)


def _vote(rows: Array, *, features: Features, index: faiss.Index, min_votes: int) -> Array:
    """Let the details in these rows, of whole pictures, vote, upright and mirrored."""
    points, owners, descriptors = features["points"], features["owners"], features["descriptors"]
    upright, angle, growth = descriptors[rows], points[rows, 3], points[rows, 2]
    found = []
    for query, turned in ((upright, angle), (mirror(upright), np.pi - angle)):
        hits = _nearest(index, query, descriptors)
        hits = np.where(hits < 0, rows[:, None], hits)  # there are no more: a vote for oneself
        pairs = np.stack([np.broadcast_to(owners[rows, None], hits.shape), owners[hits]], axis=2)
        turn, grown = points[hits, 3] - turned[:, None], points[hits, 2] - growth[:, None]
        found.append(_elected(pairs.reshape(-1, 2), turn.ravel(), grown.ravel(), min_votes=min_votes))
    return np.concatenate(found)


def _nearest(index: faiss.Index, query: Array, descriptors: Array) -> Array:
    """Look up details, (n, 128) uint8: the rows of their NEAREST, (n, NEAREST); -1 where there are no more."""
    found = []
    for start in range(0, len(query), COMPARED):
        block = query[start : start + COMPARED].astype(np.float32)
        _, hits = index.search(block, RANKED * NEAREST)
        alike = (descriptors[hits].astype(np.float32) @ block[:, :, None])[..., 0]  # of vectors of equal norm
        best = np.argsort(np.where(hits < 0, np.inf, -alike), axis=1, kind="stable")[:, :NEAREST]
        found.append(np.take_along_axis(hits, best, axis=1))
    return np.concatenate(found)


def _elected(pairs: Array, turn: Array, growth: Array, *, min_votes: int) -> Array:
    """Return the pairs that have enough votes in a bin of turn and scale and the bins around it."""
    others = pairs[:, 0] != pairs[:, 1]
    pairs, turn, growth = pairs[others], turn[others], growth[others]
    angle = np.floor(turn / (2 * np.pi) * TURNS).astype(np.int64) % TURNS
    octave = np.clip(np.rint(growth) + OCTAVES // 2, 1, OCTAVES - 2).astype(np.int64)
    pair = pairs[:, 0] * (pairs.max(initial=0) + 1) + pairs[:, 1]
    bins, counts = np.unique((pair * TURNS + angle) * OCTAVES + octave, return_counts=True)
    pair, angle, octave = bins // OCTAVES // TURNS, bins // OCTAVES % TURNS, bins % OCTAVES
    votes = np.zeros(len(bins), np.int64)
    for da in (-1, 0, 1):
        for do in (-1, 0, 1):
            near = (pair * TURNS + (angle + da) % TURNS) * OCTAVES + octave + do
            place = np.minimum(np.searchsorted(bins, near), len(bins) - 1)
            votes += np.where(bins[place] == near, counts[place], 0)
    elected = np.unique(pair[votes >= min_votes])
    return np.stack(np.divmod(elected, pairs.max(initial=0) + 1), axis=1)
