"""Nearest images in the space of embeddings, never of the same group; memory linear in the number of images.

Up to `vector_search.EXACT` references all are compared. Among more an index finds nearly all of the nearest, and a
sample stands for all where only a share is asked for, so that time grows near-linearly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core import vector_search
from pipeline.stages.label_noise.labelled import Labelled
from pipeline.stages.label_noise.probe import softmax

Array = np.ndarray[Any, Any]

BLOCK = 512  # queries at a time
SPARE = 8  # found more than asked for, since some are of the own group
NONE = -1
CLOSEST = 1e-3  # cosine distance: below it, two different pictures are equally near
FALL = 2.0  # of a diagnosis' weight, as a power of the distance; how much the opinion counts in the end is fitted


def nearest_in_train(labelled: Labelled, vectors: Array, count: int) -> tuple[Array, Array]:
    """Find for each image the nearest images that probes learn from.

    Args:
        labelled: images in scope.
        vectors: (n, d) float32 of them, unit norm.
        count: how many to find.

    Returns:
        positions among all images, nearest first, `NONE` where there are no more, and cosines, -inf there; both
        (n, count).

    """
    voters = np.flatnonzero(labelled.voter)
    found, cosines = nearest(
        vectors,
        vectors[voters],
        query_group=labelled.group,
        reference_group=labelled.group[voters],
        count=count,
    )
    return np.where(found == NONE, NONE, voters[found]), cosines


def opinion_of_nearest(labelled: Labelled, vectors: Array, count: int) -> Array:
    """Let the nearest images say what each shows: a diagnosis is as likely as its nearest image is near.

    Only the nearest of each diagnosis counts: P ∝ distance^-FALL, so that of two diagnoses one gets what SelfClean
    (Gröger et al. 2024) scores a label by. Two pictures of one patient, not known to be so, are nearer than two of one
    diagnosis, and probes see nothing of it. A diagnosis that none of the nearest carries is as far as the last of them:
    differences beyond that say little.

    Args:
        labelled: images in scope.
        vectors: (n, d) float32 of them, unit norm.
        count: how many of the nearest to ask, of other groups.

    Returns:
        (n, classes), rows sum to 1; all the same where there is nobody to ask.

    """
    found, cosines = nearest_in_train(labelled, vectors, count)
    asked = found != NONE
    distances = np.where(asked, np.maximum(1 - cosines, CLOSEST), 0.0)
    farthest = np.maximum(distances.max(axis=1), CLOSEST)
    of_class = np.repeat(farthest[:, None], len(labelled.classes), axis=1).astype(np.float64)
    for rank in reversed(range(count)):  # the nearest comes last, and stays
        rows = np.flatnonzero(asked[:, rank])
        of_class[rows, labelled.given[found[rows, rank]]] = distances[rows, rank]
    return softmax(-FALL * np.log(of_class))


def radius_in_train(labelled: Labelled, vectors: Array, share: float) -> Array:
    """Measure how far around each image a share of train lies.

    Args:
        labelled: images in scope.
        vectors: (n, d) of one view of them.
        share: of the images that probes learn from; those of the own group count, but lie infinitely far.

    Returns:
        (n,) distances 1 - cosine; 0 where other groups hold less than the share.

    """
    voters = np.flatnonzero(labelled.voter)
    if len(voters) > vector_search.EXACT:
        voters = np.sort(np.random.default_rng(0).choice(voters, vector_search.EXACT, replace=False))
    references, group = vectors[voters], labelled.group[voters]
    rank = len(references) - max(1, round(share * len(references)))
    cosines = np.empty(len(vectors), np.float64)
    for start in range(0, len(cosines), BLOCK):
        rows = slice(start, start + BLOCK)
        similar = vectors[rows] @ references.T
        similar[labelled.group[rows, None] == group] = -np.inf
        similar.partition(rank, axis=1)
        cosines[rows] = similar[:, rank]
    return np.where(np.isfinite(cosines), 1 - cosines, 0.0)


def nearest(
    queries: Array, references: Array, *, query_group: Array, reference_group: Array, count: int
) -> tuple[Array, Array]:
    """Find the most similar references of other groups.

    Args:
        queries: (n, d) float32, unit norm.
        references: (m, d) likewise.
        query_group: (n,) numbers.
        reference_group: (m,) numbers.
        count: how many to find.

    Returns:
        positions in `references`, nearest first, `NONE` where there are no more, and cosines, -inf there;
        both (n, count).

    """
    find = _by_index if len(references) > vector_search.EXACT else _exactly
    return find(queries, references, query_group=query_group, reference_group=reference_group, count=count)


def nearest_of_class(
    vectors: Array, wanted: Array, *, group: Array, references: Array, reference_class: Array, count: int
) -> list[list[int]]:
    """Find for each image the nearest references of the class it asks for.

    Args:
        vectors: (n, d) of all images.
        wanted: (n,) class numbers.
        group: (n,) numbers.
        references: positions of the images that may be shown.
        reference_class: (m,) theirs.
        count: how many at most.

    Returns:
        positions of images, nearest first.

    """
    found: list[list[int]] = [[] for _ in wanted]
    for class_ in np.unique(wanted):
        rows, shown = np.flatnonzero(wanted == class_), references[reference_class == class_]
        positions, _ = nearest(
            vectors[rows], vectors[shown], query_group=group[rows], reference_group=group[shown], count=count
        )
        for row, line in zip(rows, positions, strict=True):
            found[row] = [int(shown[p]) for p in line if p != NONE]
    return found


def _exactly(
    queries: Array, references: Array, *, query_group: Array, reference_group: Array, count: int
) -> tuple[Array, Array]:
    """Compare all with all."""
    found = np.full((len(queries), count), NONE)
    cosines = np.full((len(queries), count), -np.inf, np.float32)
    width = min(count, len(references))
    if width == 0:
        return found, cosines
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        similar = queries[rows] @ references.T
        similar[query_group[rows, None] == reference_group] = -np.inf
        top = np.argpartition(similar, -width, axis=1)[:, -width:]
        top.sort(axis=1)  # so that ties go to the first
        values = np.take_along_axis(similar, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        cosines[rows, :width] = np.take_along_axis(values, order, axis=1)
        found[rows, :width] = np.where(np.isfinite(cosines[rows, :width]), np.take_along_axis(top, order, axis=1), NONE)
    return found, cosines


def _by_index(
    queries: Array, references: Array, *, query_group: Array, reference_group: Array, count: int
) -> tuple[Array, Array]:
    """Find likewise among many; a query of whose hits too many are of its own group is compared with all."""
    search = vector_search.searcher(references)
    found = np.full((len(queries), count), NONE)
    cosines = np.full((len(queries), count), -np.inf, np.float32)
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        similar, hits = search(np.ascontiguousarray(queries[rows]), count + SPARE)
        own = (hits < 0) | (query_group[rows, None] == reference_group[hits])
        order = np.argsort(own, axis=1, kind="stable")[:, :count]  # others first, the nearest before
        found[rows] = np.take_along_axis(hits, order, axis=1)
        cosines[rows] = np.take_along_axis(similar, order, axis=1)
        short = np.flatnonzero((~own).sum(axis=1) < count) + start
        found[short], cosines[short] = _exactly(
            queries[short], references, query_group=query_group[short], reference_group=reference_group, count=count
        )
    return found, cosines
