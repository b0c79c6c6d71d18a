"""Pictures that show no skin at all: far from everything that train holds, judged without any label.

A rank would accuse somebody in every dataset. So the distance is held against what distances among train images would
be if all belonged there: how many images as far out are to be expected by chance (a-contrario detection, Desolneux et
al. 2008). Far fewer than one: off topic.

The distance is the radius that takes in a share of train, not the distance to a few neighbours: charts come in crowds
and vouch for one another, until the share is larger than the crowd. It must not be larger than a diagnosis either, or
the way to the next one counts. Measured with CLIP on 400 images and strays that make up 10%, all of one kind: a share
of 5% finds no chart and no X-ray; 10% ranks them with an average precision of 1.00 on HAM10000, and on clinical
photographs of 12 diagnoses charts with .98 and X-rays with .67, where 15% gets .74 and .51.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BODY = 0.75  # quantile where the tail begins: strays may make up an eighth of train before the median of the tail moves


def off_topic(distance: Array, reference: Array) -> Array:
    """Score 1 / (1 + expected number of reference images as far out), 0 (typical) to 1.

    Args:
        distance: (n,) of the images to score.
        reference: (m,) of train, strays among them; the median of the upper quarter gives an exponential tail.

    """
    begin = float(np.quantile(reference, BODY))
    tail = reference[reference > begin] - begin
    if len(tail) == 0:  # train is one point
        return np.where(distance > begin + 1e-6, 1.0, 0.0)
    scale = float(np.median(tail)) / np.log(2)
    expected = len(tail) * np.exp(-np.maximum(distance - begin, 0) / scale)
    score: Array = 1 / (1 + expected)
    return score
