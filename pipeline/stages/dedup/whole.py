"""Pictures compared as a whole, where local features say nothing: skin out of focus, a plain gradient, grain, moiré.

A thumbnail without light and colour says how two pictures are turned towards each other, and an affine map is fitted to
the grey values (ECC, Evangelidis and Psarakis 2008) of small squares, which are kept, so that nothing needs decoding.
What agrees there is judged like any other map, tile by tile. Pictures that are smooth have no tile to compare; these
must be all but equal. A blank picture correlates with nothing: its quality flags it, and nothing pairs it with others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.core.orientations import COUNT, matrix, orient
from pipeline.stages.dedup.agreement import band_pass
from pipeline.stages.dedup.features import Canonical

SIDE = 96  # pixels at which the pictures are aligned
ITERATIONS = 40
PRECISION = 1e-4
MIN_STD = 2.0  # grey levels: less is blank
SMOOTHED_PIXELS = 5  # ECC's own blur
BAND = (0.7, 4.0)  # sigmas in pixels of SIDE: what is compared once they are aligned
THUMBNAIL = 16  # pixels a side
THUMBNAIL_BAND = (0.35, 4.0)  # sigmas of its band-pass, in its pixels

Array = np.ndarray[Any, Any]


class Whole(NamedTuple):
    """How two pictures lie on each other as a whole.

    matrix: 3 by 3, working pixels of a to those of b.
    correlation: of their grey values after it, -1 to 1.
    detail: of what is left of them without their coarse light and shade, -1 to 1.
    """

    matrix: Array
    correlation: float
    detail: float


def small(picture: Canonical) -> Array:
    """Shrink a picture to a square, (SIDE, SIDE) uint8."""
    return np.asarray(cv2.resize(picture.grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def thumbnails(squares: Array) -> Array:
    """Describe pictures by their coarse structure, more by their middle than by their margin.

    Args:
        squares: (n, SIDE, SIDE) uint8, from `small`.

    Returns:
        (n, 256) float32 of unit norm, the rows of 16 by 16 pixels; zeros for a blank picture.

    """
    window = np.hanning(THUMBNAIL + 2)[1:-1]
    weight = np.sqrt(np.outer(window, window)).astype(np.float32)
    found = np.zeros((len(squares), THUMBNAIL * THUMBNAIL), np.float32)
    for i, square in enumerate(squares):
        tiny = cv2.resize(square, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        found[i] = (band_pass(tiny, THUMBNAIL_BAND) * weight).ravel()
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, norms, out=found, where=norms > 0))


def turned(tiny: Array) -> Array:
    """Turn and mirror thumbnails: (n, 256) to (n, 8, 256), orientation by orientation."""
    positions = np.arange(THUMBNAIL * THUMBNAIL).reshape(THUMBNAIL, THUMBNAIL)
    views = np.stack([orient(positions, o).ravel() for o in range(COUNT)])
    found: Array = tiny[:, views]
    return found


def most_alike(a: Array, b: Array) -> int:
    """Say in which orientation a thumbnail, (256,), is most like another."""
    return int((turned(a[None])[0] @ b).argmax())


def align_whole(
    a: Array, b: Array, *, orientation: int, shapes: tuple[tuple[int, int], tuple[int, int]]
) -> Whole | None:
    """Align two pictures by all their grey values; None if they cannot be aligned.

    Args:
        a: one picture, from `small`.
        b: the other.
        orientation: of a in which it is most like b, from `most_alike`.
        shapes: height and width of both at working size.

    """
    if min(a.std(), b.std()) < MIN_STD:
        return None
    view = np.ascontiguousarray(orient(a, orientation))
    warp = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, PRECISION)
    try:
        # The warp that ECC returns takes pixels of its first picture to those of its second.
        correlation, warp = cv2.findTransformECC(view, b, warp, cv2.MOTION_AFFINE, criteria, None, SMOOTHED_PIXELS)
    except cv2.error:  # it does not converge: they do not show the same
        return None
    (height, width), target = shapes
    turn = np.vstack([matrix(orientation, width=width, height=height), [0, 0, 1]])
    seen = (height, width) if orientation % 2 == 0 else (width, height)
    total = _scaling((SIDE, SIDE), target) @ np.vstack([warp, [0, 0, 1]]) @ _scaling(seen, (SIDE, SIDE)) @ turn
    return Whole(total, float(correlation), _detail(view, b, warp))


def _detail(a: Array, b: Array, warp: Array) -> float:
    moved = cv2.warpAffine(a, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones_like(a), warp, (SIDE, SIDE), flags=cv2.INTER_NEAREST) > 0
    if not inside.any():
        return 0.0
    x, y = (band_pass(image, BAND)[inside] for image in (moved, b))
    return float(np.corrcoef(x, y)[0, 1]) if min(x.std(), y.std()) > 0 else 0.0


def _scaling(source: tuple[int, ...], target: tuple[int, ...]) -> Array:
    """Map pixel centres of a picture of shape `source` to those of the same picture resized to `target`."""
    sy, sx = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
