"""Votes of keypoints with weak geometric consistency (Jégou, Douze and Schmid 2008): pairs of changed images.

    votes(a, b) = max over bins (rotation, scale) of the number of keypoints of a whose nearest lie in b, in that bin

Heavy crops, screenshots, borders and labels change an image as a whole and leave its details. Every keypoint looks up
its nearest among all images, mirrored too, and each hit is a vote for a pair, a rotation and a scale: of a true pair
the votes agree on them, of a chance one they scatter. A keypoint votes for few neighbours only, so one that many images
share (a logo, a ruler) scatters its votes too.

Keypoints are filed in inverted lists (Jégou, Douze and Schmid 2011) with 4 bits for every 4 numbers, which a processor
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
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.core.progress import step, track
from pipeline.stages.dedup.candidates.pairs import distinct
from pipeline.stages.dedup.features.keypoints import mirror_descriptors

LISTS_PER_ROOT = 1  # inverted lists by the root of the number of keypoints
TRAINING_POINTS = 40  # by list
ITERATIONS = 6  # of k-means
PROBES = 6  # lists that are looked through
CODED = 4  # numbers of a descriptor that share a code of 4 bits
RANKED = 4  # times as many as vote
NEAREST = 6  # keypoints that one keypoint votes for
ROTATIONS = 12  # bins of the angle
OCTAVES = 16  # bins of the scale, one a factor of two; far more than images differ
SHARD = 256  # images whose keypoints vote at once
FILED = 1 << 18  # keypoints at once
COMPARED = 1 << 13  # keypoints at once: bounds the memory

Features = SharedArrays | Mapping[str, NDArray[Any]]


def voted_pairs(
    features: Features,
    *,
    keypoints: int,
    min_votes: int,
    engine: Engine = "local",
    scratch: Path | None = None,
    asking: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Find pairs of views with enough votes that agree on rotation and scale.

    Args:
        features: of all views, the strongest of each first: points (keypoints, 4): x, y, log2 size, angle; descriptors
            (keypoints, 128) uint8; owners (keypoints,) position of the view, ascending.
        keypoints: of a view that vote and are voted for.
        min_votes: in a bin and its neighbours.
        engine: where the work is done.
        scratch: for the index that all workers read, and for finished work; without it all is done in this process.
        asking: positions of the views whose keypoints look for their like among those of all; None: all of them.

    Returns:
        (pairs, 2) positions, the smaller first, sorted.

    """
    owners = features["owners"]
    rows = np.flatnonzero(np.arange(len(owners)) - np.searchsorted(owners, owners) < keypoints)
    if len(rows) <= NEAREST:
        return np.zeros((0, 2), np.int64)
    asks = rows if asking is None else rows[np.isin(owners[rows], asking)]
    cuts = np.searchsorted(owners[asks], np.arange(0, owners[-1] + SHARD + 1, SHARD))
    shards = [asks[start:stop] for start, stop in pairwise(cuts) if start < stop]
    if scratch is None or len(shards) == 1:
        index = _index(features["descriptors"], rows)
        elected = [
            _vote(shard, features=features, index=index, min_votes=min_votes)
            for shard in track(shards, "keypoint votes")
        ]
    else:
        path = scratch / "keypoints.index"
        if not path.exists():
            _save(_index(features["descriptors"], rows), path)
        vote = partial(_vote_shared, features=features, path=path, min_votes=min_votes)
        elected = list(map_shards(vote, shards, label="keypoint votes", engine=engine, scratch=scratch))
    return distinct(np.concatenate([np.zeros((0, 2), np.int64), *elected]))


def _index(descriptors: NDArray[np.uint8], rows: NDArray[np.int64]) -> faiss.Index:
    """File the keypoints in these rows, each under its row: as they are if few, else in inverted lists."""
    width = descriptors.shape[1]
    lists = int(LISTS_PER_ROOT * np.sqrt(len(rows)))
    if len(rows) < TRAINING_POINTS * lists:
        index: faiss.Index = faiss.IndexIDMap(faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit_direct))
    else:
        index = faiss.index_factory(width, f"IVF{lists},PQ{width // CODED}x4fs")
        assert isinstance(index, faiss.IndexIVF)  # noqa: S101 - it says IVF
        index.cp.niter = ITERATIONS
        every = len(rows) // (TRAINING_POINTS * lists)
        # Training is many small steps, whose sums shall not depend on the number of threads.
        with threadpool_limits(1), step("train the index of keypoints"):
            index.train(descriptors[rows[::every]].astype(np.float32))
        index.nprobe = PROBES
    for start in track(range(0, len(rows), FILED), "index keypoints"):
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


def _vote_shared(rows: NDArray[np.int64], *, features: Features, path: Path, min_votes: int) -> NDArray[np.int64]:
    return _vote(rows, features=features, index=_load(path), min_votes=min_votes)


def _vote(rows: NDArray[np.int64], *, features: Features, index: faiss.Index, min_votes: int) -> NDArray[np.int64]:
    """Let the keypoints in these rows, all those of some views, vote, upright and mirrored."""
    points, owners, descriptors = features["points"], features["owners"], features["descriptors"]
    upright, angle, size = descriptors[rows], points[rows, 3], points[rows, 2]
    elected = []
    for query, query_angle in ((upright, angle), (mirror_descriptors(upright), np.pi - angle)):
        hits = _nearest(index, query, descriptors)
        hits = np.where(hits < 0, rows[:, None], hits)  # there are no more: a vote for oneself
        pairs = np.stack([np.broadcast_to(owners[rows, None], hits.shape), owners[hits]], axis=2)
        rotation, scale = points[hits, 3] - query_angle[:, None], points[hits, 2] - size[:, None]
        elected.append(_elect(pairs.reshape(-1, 2), rotation.ravel(), scale.ravel(), min_votes=min_votes))
    return np.concatenate(elected)


def _nearest(index: faiss.Index, query: NDArray[np.uint8], descriptors: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Look up keypoints, (n, 128): the rows of their NEAREST, (n, NEAREST); -1 where there are no more."""
    nearest = []
    for start in range(0, len(query), COMPARED):
        block = query[start : start + COMPARED].astype(np.float32)
        _, hits = index.search(block, RANKED * NEAREST)
        alike = (descriptors[hits].astype(np.float32) @ block[:, :, None])[..., 0]  # of vectors of equal norm
        best = np.lexsort((-alike, hits < 0))[:, :NEAREST]  # those that are missing last
        nearest.append(np.take_along_axis(hits, best, axis=1))
    return np.concatenate(nearest)


def _elect(
    pairs: NDArray[np.int64], rotation: NDArray[np.float32], scale: NDArray[np.float32], *, min_votes: int
) -> NDArray[np.int64]:
    """Return the pairs that have enough votes in a bin of rotation and scale (log2) and the bins around it."""
    others = pairs[:, 0] != pairs[:, 1]
    pairs, rotation, scale = pairs[others], rotation[others], scale[others]
    angle = np.floor(rotation / (2 * np.pi) * ROTATIONS).astype(np.int64) % ROTATIONS
    octave = np.clip(np.rint(scale) + OCTAVES // 2, 1, OCTAVES - 2).astype(np.int64)
    pair = pairs[:, 0] * (pairs.max(initial=0) + 1) + pairs[:, 1]
    bins, counts = np.unique((pair * ROTATIONS + angle) * OCTAVES + octave, return_counts=True)
    pair, angle, octave = bins // OCTAVES // ROTATIONS, bins // OCTAVES % ROTATIONS, bins % OCTAVES
    votes = np.zeros(len(bins), np.int64)
    for da in (-1, 0, 1):
        for do in (-1, 0, 1):
            near = (pair * ROTATIONS + (angle + da) % ROTATIONS) * OCTAVES + octave + do
            place = np.minimum(np.searchsorted(bins, near), len(bins) - 1)
            votes += np.where(bins[place] == near, counts[place], 0)
    elected = np.unique(pair[votes >= min_votes])
    return np.stack(np.divmod(elected, pairs.max(initial=0) + 1), axis=1)
