"""Direct alignment by enhanced correlation (ECC, Evangelidis and Psarakis 2008), where keypoints say nothing.

    max over affine W of  corr(a(x), b(W x))  of all grey values of two images, at 96 by 96 pixels

For skin out of focus, a plain gradient, grain, moiré: the thumbnails say how two images are turned towards each other,
and ECC goes on from there. What agrees is registered and judged like any other map, tile by tile. Images that are
smooth have no tile to compare; these must be all but equal. A blank image correlates with nothing: its quality flags
it, and nothing pairs it with others.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.orientations import matrix, orient
from pipeline.stages.dedup.features.denoise import band_pass
from pipeline.stages.dedup.features.extract import SQUARE_SIDE, dihedral_views

ITERATIONS = 40
PRECISION = 1e-4
MIN_STD = 2.0  # grey levels: less is blank
SMOOTHED_PIXELS = 5  # ECC's own blur
BAND = (0.7, 4.0)  # sigmas in pixels of the square: what is compared once they are aligned


class DirectAlignment(NamedTuple):
    """How two images lie on each other by all their grey values.

    matrix: 3 by 3, working pixels of a to those of b.
    correlation: of their grey values after it, -1 to 1.
    detail: of what is left of them without their coarse light and shade, -1 to 1.
    """

    matrix: NDArray[np.float64]
    correlation: float
    detail: float


def most_alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> int:
    """Say in which orientation a thumbnail, (256,), is most like another."""
    return int((dihedral_views(a[None])[0] @ b).argmax())


def align_directly(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    *,
    orientation: int,
    shapes: tuple[tuple[int, int], tuple[int, int]],
) -> DirectAlignment | None:
    """Align two images by all their grey values; None if they cannot be aligned.

    Args:
        a: one image, from `extract.square`.
        b: the other, from `extract.square`.
        orientation: of a in which it is most like b, from `most_alike`.
        shapes: height and width of both at working size.

    """
    if min(a.std(), b.std()) < MIN_STD:
        return None
    view = np.ascontiguousarray(orient(a, orientation))
    warp = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, PRECISION)
    try:
        # The warp that ECC returns takes pixels of its first image to those of its second.
        correlation, warp = cv2.findTransformECC(view, b, warp, cv2.MOTION_AFFINE, criteria, None, SMOOTHED_PIXELS)
    except cv2.error:  # it does not converge: they do not show the same
        return None
    (height, width), target = shapes
    turn = np.vstack([matrix(orientation, width=width, height=height), [0, 0, 1]])
    oriented = (height, width) if orientation % 2 == 0 else (width, height)
    side = (SQUARE_SIDE, SQUARE_SIDE)
    total = _scaling(side, target) @ np.vstack([warp, [0, 0, 1]]) @ _scaling(oriented, side) @ turn
    return DirectAlignment(total, float(correlation), _detail(view, b, warp))


def _detail(a: NDArray[np.uint8], b: NDArray[np.uint8], warp: NDArray[np.float32]) -> float:
    size = (SQUARE_SIDE, SQUARE_SIDE)
    moved = cv2.warpAffine(a, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones_like(a), warp, size, flags=cv2.INTER_NEAREST) > 0
    if not inside.any():
        return 0.0
    x, y = (band_pass(image, BAND)[inside] for image in (moved, b))
    return float(np.corrcoef(x, y)[0, 1]) if min(x.std(), y.std()) > 0 else 0.0


def _scaling(source: tuple[int, ...], target: tuple[int, ...]) -> NDArray[np.float64]:
    """Map pixel centres of an image of shape `source` to those of the same image resized to `target`."""
    sy, sx = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
