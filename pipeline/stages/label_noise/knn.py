"""k nearest neighbours among images of other groups, and what their labels predict.

    P(z | x) ∝ d(x, z)^-2        d: cosine distance of the nearest reference image labelled z

Neighbours are found in one embedding of all views. Two images of one patient, not known to be so, are nearer than two
of one diagnosis, and a classifier sees nothing of it. Memory is linear in images: up to `vector_search.EXACT`
references all are compared, and among more an index finds nearly all of the nearest, so that time grows near-linearly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline.core import vector_search
from pipeline.core.progress import track
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.logistic_regression import project

BLOCK = 512  # queries at a time
SPARE = 8  # found more than asked for, since some are of the own group
NONE = -1
COMPONENTS = 128  # of each view in the embedding; set by `bench.label_noise noise` on seeds it does not report
MIN_DISTANCE = 1e-3  # cosine distance: below it, two different images are equally near
POWER = 2.0  # of the distance; how much the prediction counts in the end is fitted


def knn_embedding(
    views: Sequence[NDArray[np.float32]], reference: NDArray[np.bool_], components: int = COMPONENTS
) -> NDArray[np.float32]:
    """Put the first principal components of all views side by side, each view of equal weight.

    Args:
        views: (n, d) each.
        reference: (n,) the images whose principal components are taken.
        components: of each view.

    Returns:
        (n, d) unit norm.

    """
    stacked = np.hstack([project(view, reference, components) for view in views])
    unit: NDArray[np.float32] = stacked / np.maximum(
        np.linalg.norm(stacked, axis=1, keepdims=True), np.finfo(np.float32).tiny
    )
    return unit


def knn_pred_probs(dataset: Dataset, embedding: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Predict diagnoses from the nearest reference images of other groups: each by its nearest image alone.

    So that of two diagnoses one gets what SelfClean (Gröger et al. 2024) scores a label by. A diagnosis that none of
    the nearest carries is as far as the last of them: differences beyond that say little.

    Args:
        dataset: images in scope.
        embedding: (n, d) of them, unit norm.
        count: how many neighbours to take.

    Returns:
        (n, classes), rows sum to 1; all the same where there is no neighbour.

    """
    neighbours, cosines = nearest_references(dataset, embedding, count)
    exists = neighbours != NONE
    distances = np.where(exists, np.maximum(1 - cosines, MIN_DISTANCE), 0.0)
    farthest = np.maximum(distances.max(axis=1), MIN_DISTANCE)
    of_class = np.repeat(farthest[:, None], len(dataset.classes), axis=1).astype(np.float64)
    for rank in reversed(range(count)):  # the nearest comes last, and stays
        rows = np.flatnonzero(exists[:, rank])
        of_class[rows, dataset.given[neighbours[rows, rank]]] = distances[rows, rank]
    pred_probs: NDArray[np.float64] = softmax(-POWER * np.log(of_class), axis=1)
    return pred_probs


def nearest_references(
    dataset: Dataset, embedding: NDArray[np.float32], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find for each image the nearest reference images of other groups.

    Args:
        dataset: images in scope.
        embedding: (n, d) of them, unit norm.
        count: how many to find.

    Returns:
        positions among all images, nearest first, `NONE` where there are no more, and cosines, -inf there; both
        (n, count).

    """
    references = np.flatnonzero(dataset.reference)
    neighbours, cosines = nearest_neighbours(
        embedding,
        embedding[references],
        query_group=dataset.group,
        reference_group=dataset.group[references],
        count=count,
    )
    return np.where(neighbours == NONE, NONE, references[neighbours]), cosines


def nearest_neighbours(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    *,
    query_group: NDArray[np.intp],
    reference_group: NDArray[np.intp],
    count: int,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find the most similar references of other groups.

    Args:
        queries: (n, d) float32, unit norm.
        references: (m, d) float32, unit norm.
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
    embedding: NDArray[np.float32],
    wanted: NDArray[np.intp],
    *,
    group: NDArray[np.intp],
    references: NDArray[np.intp],
    reference_class: NDArray[np.intp],
    count: int,
) -> list[list[int]]:
    """Find for each image the nearest references of the class it asks for.

    Args:
        embedding: (n, d) of all images, unit norm.
        wanted: (n,) class numbers.
        group: (n,) numbers.
        references: positions of the images that may be shown.
        reference_class: (m,) class numbers of `references`.
        count: how many at most.

    Returns:
        positions of images, nearest first.

    """
    examples: list[list[int]] = [[] for _ in wanted]
    for class_ in np.unique(wanted):
        rows, shown = np.flatnonzero(wanted == class_), references[reference_class == class_]
        positions, _ = nearest_neighbours(
            embedding[rows], embedding[shown], query_group=group[rows], reference_group=group[shown], count=count
        )
        for row, line in zip(rows, positions, strict=True):
            examples[row] = [int(shown[p]) for p in line if p != NONE]
    return examples


def _exactly(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    *,
    query_group: NDArray[np.intp],
    reference_group: NDArray[np.intp],
    count: int,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Compare all with all."""
    hits = np.full((len(queries), count), NONE)
    cosines = np.full((len(queries), count), -np.inf, np.float32)
    width = min(count, len(references))
    if width == 0:
        return hits, cosines
    for start in track(range(0, len(queries), BLOCK), "nearest neighbours"):
        rows = slice(start, start + BLOCK)
        similar = queries[rows] @ references.T
        similar[query_group[rows, None] == reference_group] = -np.inf
        top = np.argpartition(similar, -width, axis=1)[:, -width:]
        top.sort(axis=1)  # so that ties go to the first
        values = np.take_along_axis(similar, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        cosines[rows, :width] = np.take_along_axis(values, order, axis=1)
        hits[rows, :width] = np.where(np.isfinite(cosines[rows, :width]), np.take_along_axis(top, order, axis=1), NONE)
    return hits, cosines


def _by_index(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    *,
    query_group: NDArray[np.intp],
    reference_group: NDArray[np.intp],
    count: int,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Search an index of many; a query of whose candidates too many are of its own group is compared with all."""
    search = vector_search.searcher(references)
    hits = np.full((len(queries), count), NONE)
    cosines = np.full((len(queries), count), -np.inf, np.float32)
    for start in track(range(0, len(queries), BLOCK), "nearest neighbours"):
        rows = slice(start, start + BLOCK)
        similar, candidates = search(np.ascontiguousarray(queries[rows]), count + SPARE)
        own = (candidates < 0) | (query_group[rows, None] == reference_group[candidates])
        order = np.argsort(own, axis=1, kind="stable")[:, :count]  # others first, the nearest before
        hits[rows] = np.take_along_axis(candidates, order, axis=1)
        cosines[rows] = np.take_along_axis(similar, order, axis=1)
        short = np.flatnonzero((~own).sum(axis=1) < count) + start
        hits[short], cosines[short] = _exactly(
            queries[short], references, query_group=query_group[short], reference_group=reference_group, count=count
        )
    return hits, cosines
