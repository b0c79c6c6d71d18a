"""Pictures compared as a whole, where local features say nothing: skin out of focus, a plain gradient, grain, moiré.

A small thumbnail without light and colour says how two pictures are turned towards each other, and an affine map is
fitted to the grey values (ECC, Evangelidis and Psarakis 2008). What it finds is judged like any other map, tile by
tile. Pictures that are smooth have no tile to compare; these must be all but equal. A blank picture correlates with
nothing: its quality flags it, and nothing pairs it with other blank ones.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.core.orientations import COUNT, IDENTITY, matrix, orient
from pipeline.dedup.features import Canonical

SIDE = 96  # pixels at which the pictures are aligned
ITERATIONS = 60
PRECISION = 1e-5
MIN_STD = 2.0  # grey levels: less is blank
SMOOTHED_PIXELS = 5  # ECC's own blur
THUMBNAIL = 16  # pixels a side
THUMBNAIL_BAND = (0.35, 4.0)  # sigmas of its band-pass, in its pixels

Array = np.ndarray[Any, Any]


def thumbnail(picture: Canonical) -> Array:
    """Describe a picture by its coarse structure, more by its middle than by its margin.

    Returns:
        (256,) float32 of unit norm, the rows of 16 by 16 pixels; zeros for a blank picture.

    """
    small = cv2.resize(picture.grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    band = cv2.GaussianBlur(small, (0, 0), THUMBNAIL_BAND[0]) - cv2.GaussianBlur(small, (0, 0), THUMBNAIL_BAND[1])
    window = np.hanning(THUMBNAIL + 2)[1:-1]
    found = (band * np.sqrt(np.outer(window, window))).ravel().astype(np.float32)
    norm = float(np.linalg.norm(found))
    return np.asarray(found / norm if norm > 0 else found)


def turned(thumbnails: Array) -> Array:
    """Turn and mirror thumbnails: (n, 256) to (n, 8, 256), orientation by orientation."""
    squares = thumbnails.reshape(-1, THUMBNAIL, THUMBNAIL)
    views = [np.stack([orient(square, o).ravel() for square in squares]) for o in range(COUNT)]
    return np.stack(views, axis=1)


def align_whole(a: Canonical, b: Canonical, *, thumbnails: tuple[Array, Array]) -> tuple[Array, float] | None:
    """Align two pictures by all their grey values.

    Args:
        a: one picture.
        b: the other.
        thumbnails: of both, from `thumbnail`.

    Returns:
        the map, 3 by 3, working pixels of a to those of b, and the plain correlation after it; None if there is none.

    """
    orientation = int((turned(thumbnails[0][None])[0] @ turned(thumbnails[1][None])[0, IDENTITY]).argmax())
    height, width = a.grey.shape
    view = np.ascontiguousarray(orient(a.grey, orientation))
    small_a, small_b = (cv2.resize(g, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for g in (view, b.grey))
    if min(small_a.std(), small_b.std()) < MIN_STD:
        return None
    warp = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, PRECISION)
    try:
        # The warp that ECC returns takes pixels of its first picture to those of its second.
        correlation, warp = cv2.findTransformECC(
            small_a, small_b, warp, cv2.MOTION_AFFINE, criteria, None, SMOOTHED_PIXELS
        )
    except cv2.error:  # it does not converge: they do not show the same
        return None
    full = np.vstack([warp, [0, 0, 1]])
    turn = np.vstack([matrix(orientation, width=width, height=height), [0, 0, 1]])
    total = _scaling((SIDE, SIDE), b.grey.shape) @ full @ _scaling(view.shape, (SIDE, SIDE)) @ turn
    return total, float(correlation)


def _scaling(source: tuple[int, ...], target: tuple[int, ...]) -> Array:
    """Map pixel centres of a picture of shape `source` to those of the same picture resized to `target`."""
    sy, sx = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
