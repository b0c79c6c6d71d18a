"""Candidates that neither hash nor embedding sees: pairs for which local features vote.

Heavy crops, screenshots, borders and labels change a picture as a whole and leave its details. Every detail looks up
its nearest details among all pictures, mirrored too, and each hit is a vote for a pair and a turn (weak geometric
consistency: Jégou, Douze and Schmid 2008): of a true pair the votes agree on how far the picture was turned and scaled,
of a chance one they scatter. A detail votes for few neighbours only, so one that many pictures share (a logo, a ruler)
scatters its votes too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import faiss
import numpy as np

from pipeline.dedup.features import mirror

LISTS_PER_ROOT = 4  # inverted lists by the root of the number of details
TRAINING_POINTS = 40  # by list
ITERATIONS = 6  # of k-means
PROBES = 8
NEAREST = 6  # details that one detail votes for
TURNS = 12  # bins of the angle
OCTAVES = 16  # bins of the scale, one a factor of two; far more than pictures differ
BLOCK = 256  # pictures at once

Array = np.ndarray[Any, Any]


def voted_pairs(points: Array, descriptors: Array, *, owners: Array, min_votes: int) -> Array:
    """Find pairs of pictures with enough votes that agree on turn and scale.

    Args:
        points: (details, 4): x, y, log2 size, angle.
        descriptors: (details, 128) uint8.
        owners: (details,) position of the picture, ascending.
        min_votes: in a bin and its neighbours.

    Returns:
        (pairs, 2) positions, the smaller first, sorted.

    """
    if len(descriptors) <= NEAREST:
        return np.zeros((0, 2), np.int64)
    index = _index(descriptors)
    edges = np.searchsorted(owners, np.arange(0, owners[-1] + BLOCK + 1, BLOCK))
    found = [np.zeros((0, 2), np.int64)]
    for start, stop in pairwise(edges):
        for mirrored in (False, True):
            query = mirror(descriptors[start:stop]) if mirrored else descriptors[start:stop]
            angle = np.pi - points[start:stop, 3] if mirrored else points[start:stop, 3]
            _, hits = index.search(query.astype(np.float32), NEAREST)
            turn = points[hits, 3] - angle[:, None]
            growth = points[hits, 2] - points[start:stop, 2, None]
            pairs = np.stack([np.broadcast_to(owners[start:stop, None], hits.shape), owners[hits]], axis=2)
            found.append(_elected(pairs.reshape(-1, 2), turn.ravel(), growth.ravel(), min_votes=min_votes))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _index(descriptors: Array) -> faiss.Index:
    width, code = descriptors.shape[1], faiss.ScalarQuantizer.QT_8bit_direct
    lists = int(LISTS_PER_ROOT * np.sqrt(len(descriptors)))
    if len(descriptors) < TRAINING_POINTS * lists:
        index: faiss.Index = faiss.IndexScalarQuantizer(width, code)
    else:
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(width), width, lists, code)
        index.cp.niter = ITERATIONS
        step = len(descriptors) // (TRAINING_POINTS * lists)
        index.train(descriptors[::step].astype(np.float32))
        faiss.ParameterSpace().set_index_parameter(index, "nprobe", PROBES)
    for start in range(0, len(descriptors), 1 << 18):
        index.add(descriptors[start : start + (1 << 18)].astype(np.float32))
    return index


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
