"""Outliers, images that are off topic: an a-contrario test of how far they lie from everything that train holds.

    score = 1 / (1 + N · P(a train image lies as far out))        (Desolneux et al. 2008)

No label has a part in it. A rank would accuse somebody in every dataset. So the distance is held against what
distances among train images would be if all belonged there: how many images as far out are to be expected by chance.
Far fewer than one: off topic.

The distance is the radius that takes in a share of train, not the distance to a few neighbours: charts come in crowds
and vouch for one another, until the share is larger than the crowd. By the encoder's vector the share must not be
larger than a diagnosis either, or the way to the next one counts. By its layers, which tell texture and layout more
than diagnosis, it may. What is far by several of these is further than by one: each says how much less likely its
distance is than that of an image that just begins to stand out, and these are multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core import vector_search
from pipeline.stages.label_noise.dataset import Dataset

BODY = 0.75  # quantile where the tail begins: strays may make up an eighth of train before the median of the tail moves
SHARE = 0.1  # of train within the radius, by the encoder's vector; set, as the next, by `bench.label_noise off-topic`
LAYER_SHARE = 0.25  # of train within the radius, by each layer
BLOCK = 512  # images at a time


def score_off_topic(dataset: Dataset) -> NDArray[np.float64]:
    """Score each image of the dataset, 0 (typical) to 1, against train; labels have no part in it: (n,)."""
    views = [(dataset.vectors, SHARE), *((layer, LAYER_SHARE) for layer in dataset.layers)]
    return score_distances([radius_in_train(dataset, *view) for view in views], dataset.reference)


def radius_in_train(dataset: Dataset, vectors: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """Measure how far around each image a share of train lies.

    Args:
        dataset: images in scope.
        vectors: (n, d) of one view of them.
        share: of the reference images; those of the own group count, but lie infinitely far.

    Returns:
        (n,) distances 1 - cosine; 0 where other groups hold less than the share.

    """
    chosen = np.flatnonzero(dataset.reference)
    if len(chosen) > vector_search.EXACT:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, vector_search.EXACT, replace=False))
    references, group = vectors[chosen], dataset.group[chosen]
    rank = len(references) - max(1, round(share * len(references)))
    cosines = np.empty(len(vectors), np.float64)
    for start in range(0, len(cosines), BLOCK):
        rows = slice(start, start + BLOCK)
        similar = vectors[rows] @ references.T
        similar[dataset.group[rows, None] == group] = -np.inf
        similar.partition(rank, axis=1)
        cosines[rows] = similar[:, rank]
    return np.where(np.isfinite(cosines), 1 - cosines, 0.0)


def score_distances(distances: Sequence[NDArray[np.float64]], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Score 1 / (1 + expected number of reference images as far out).

    Args:
        distances: of each view (n,).
        reference: (n,) which images are the reference, strays among them.

    """
    total = np.sum([_excess(distance, distance[reference]) for distance in distances], axis=0)
    excess = _excess(total, total[reference])
    if not (excess[reference] > 0).any():  # train is one point: whatever lies there is typical
        return np.where(excess > 0, 1.0, 0.0)
    score: NDArray[np.float64] = 1 / (
        1 + (1 - BODY) * int(reference.sum()) * _chance(excess, int((excess[reference] > 0).sum()))
    )
    return score


def _chance(excess: NDArray[np.float64], tail: int) -> NDArray[np.float64]:
    """Say how likely an image of the tail is as far out: (1 + excess / k) ** -k, with k = tail * ln(2)².

    Were the tail's scale known, it would be exp(-excess). It is estimated from few images, and the predictive
    distribution of an exponential whose scale k images tell is this one (Lomax): heavy for a small set, the
    exponential for a large one. The median of a tail tells as much of its scale as the mean of ln(2)² times as many
    images would.
    """
    known = tail * np.log(2) ** 2
    with np.errstate(over="ignore"):
        chance: NDArray[np.float64] = (1 + excess / known) ** -known
    return chance


def _excess(distance: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how far beyond the reference's body a distance lies, in units of an exponential tail fitted to it: (n,).

    The tail's scale is from its median, which strays do not move as they move a mean. Where the reference is one point,
    whatever lies off it is infinitely far.
    """
    begin = float(np.quantile(reference, BODY))
    tail = reference[reference > begin] - begin
    if len(tail) == 0:
        return np.where(distance > begin + 1e-6, np.inf, 0.0)
    excess: NDArray[np.float64] = np.maximum(distance - begin, 0) / (float(np.median(tail)) / np.log(2))
    return excess
