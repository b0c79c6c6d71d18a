"""Pictures that show no skin at all: far from everything that train holds, judged without any label.

A rank would accuse somebody in every dataset. So the distance is held against what distances among train images would
be if all belonged there: how many images as far out are to be expected by chance (a-contrario detection, Desolneux et
al. 2008). Far fewer than one: off topic.

The distance is the radius that takes in a share of train, not the distance to a few neighbours: charts come in crowds
and vouch for one another, until the share is larger than the crowd. Of the encoder's vector it must not be larger than
a diagnosis either, or the way to the next one counts. Of its levels, which tell texture and layout more than
diagnosis, it may. What is far by several of these is further than by one: each says how much less likely its distance
is than that of an image that just begins to stand out, and these are multiplied.

Chosen with CLIP on 400 images and strays of one kind that make up 5% and 10%, on seeds that the benchmark does not
report. By the vector alone, among clinical photographs of 12 diagnoses, X-ray-like hands had an average precision of
.76 and .68 and blurred pictures .82 and .68; with the levels all are 1.00. A level alone takes a photograph of
something else for skin (.25 to .65); the vector alone is as good at these as all together (.93).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.stages.label_noise.labelled import Labelled
from pipeline.stages.label_noise.neighbours import radius_in_train
from pipeline.stages.label_noise.params import OffTopic

Array = np.ndarray[Any, Any]

BODY = 0.75  # quantile where the tail begins: strays may make up an eighth of train before the median of the tail moves


def off_topic(labelled: Labelled, params: OffTopic) -> Array:
    """Score each image, 0 (typical) to 1, against train.

    Args:
        labelled: images in scope; labels have no part in it.
        params: shares of train.

    """
    views = [(labelled.vectors, params.share), *((level, params.level_share) for level in labelled.levels)]
    return score_distances([radius_in_train(labelled, *view) for view in views], labelled.voter)


def score_distances(distances: Sequence[Array], reference: Array) -> Array:
    """Score 1 / (1 + expected number of reference images as far out).

    Args:
        distances: of each view (n,).
        reference: (n,) which images are the reference, strays among them.

    """
    total = np.sum([_excess(distance, distance[reference]) for distance in distances], axis=0)
    excess = _excess(total, total[reference])
    if not (excess[reference] > 0).any():  # train is one point: whatever lies there is typical
        return np.where(excess > 0, 1.0, 0.0)
    score: Array = 1 / (1 + (1 - BODY) * int(reference.sum()) * _chance(excess, int((excess[reference] > 0).sum())))
    return score


def _chance(excess: Array, tail: int) -> Array:
    """Say how likely an image of the tail is as far out: (1 + excess / k) ** -k, with k = tail * ln(2)².

    Were the tail's scale known, it would be exp(-excess). It is estimated from few images, and the predictive
    distribution of an exponential whose scale k images tell is this one (Lomax): heavy for a small set, the
    exponential for a large one. The median of a tail tells as much of its scale as the mean of ln(2)² times as many
    images would.
    """
    known = tail * np.log(2) ** 2
    with np.errstate(over="ignore"):
        chance: Array = (1 + excess / known) ** -known
    return chance


def _excess(distance: Array, reference: Array) -> Array:
    """Say how far beyond the reference's body a distance lies, in units of an exponential tail fitted to it: (n,).

    The tail's scale is from its median, which strays do not move as they move a mean. Where the reference is one point,
    whatever lies off it is infinitely far.
    """
    begin = float(np.quantile(reference, BODY))
    tail = reference[reference > begin] - begin
    if len(tail) == 0:
        return np.where(distance > begin + 1e-6, np.inf, 0.0)
    found: Array = np.maximum(distance - begin, 0) / (float(np.median(tail)) / np.log(2))
    return found
