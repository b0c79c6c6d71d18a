"""Pictures with too few features to match: aligned as a whole, and held to a stricter correlation.

Skin out of focus, a plain gradient: nothing local can be found, so the hash says how the two are turned towards each
other, an affine map is fitted to the grey values (ECC, Evangelidis and Psarakis 2008), and they must then be all but
equal. A blank picture correlates with nothing: its quality flags it, and nothing pairs it with other blank ones.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.core.orientations import IDENTITY, matrix, orient
from pipeline.dedup.agreement import Agreement, overlap
from pipeline.dedup.features import Canonical

SIDE = 96  # pixels at which the pictures are compared
ITERATIONS = 60
PRECISION = 1e-5
MIN_STD = 2.0  # grey levels: less is blank

Array = np.ndarray[Any, Any]


def align_smooth(a: Canonical, b: Canonical, *, hash_a: Array, hash_b: Array) -> Agreement | None:
    """Align two pictures by all their grey values.

    Args:
        a: one picture.
        b: the other.
        hash_a: its (8, bytes) hashes, orientation by orientation.
        hash_b: likewise.

    Returns:
        the map and the plain correlation after it, without a deformation; None if they cannot be aligned.

    """
    differing = np.bitwise_count(hash_a ^ hash_b[IDENTITY]).sum(1, dtype=np.int64)
    orientation = int(differing.argmin())
    height, width = a.grey.shape
    turned = np.ascontiguousarray(orient(a.grey, orientation))
    small_a, small_b = (cv2.resize(g, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for g in (turned, b.grey))
    if min(small_a.std(), small_b.std()) < MIN_STD:
        return None
    warp = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, PRECISION)
    try:
        # The warp that ECC returns takes pixels of its first picture to those of its second.
        correlation, warp = cv2.findTransformECC(small_a, small_b, warp, cv2.MOTION_AFFINE, criteria, None, 5)
    except cv2.error:  # it does not converge: they do not show the same
        return None
    full = np.vstack([warp, [0, 0, 1]])
    turn = np.vstack([matrix(orientation, width=width, height=height), [0, 0, 1]])
    total = _scaling((SIDE, SIDE), b.grey.shape) @ full @ _scaling(turned.shape, (SIDE, SIDE)) @ turn
    return Agreement(total, overlap(a.grey.shape, b.grey.shape, total), float(correlation), float("nan"))


def _scaling(source: tuple[int, ...], target: tuple[int, ...]) -> Array:
    """Map pixel centres of a picture of shape `source` to those of the same picture resized to `target`."""
    sy, sx = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
