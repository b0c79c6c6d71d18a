"""Local features of a picture, brought to one working size first, so that small and huge ones behave alike.

What many unlike pictures share is left out before any feature is taken: clutter (see `clutter`), the uniform margins
that are left without it, which are cropped, and the black corners of a dermatoscope's vignette, which are masked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.dedup.clutter import clean

MARGIN_MAX_RANGE = 10.0  # grey levels: a row or column this uniform, from the edge inwards, is margin
MARGIN_TAILS = (0.06, 0.94)  # between these shares of its pixels the range is taken
EDGE_WIDTH = 2  # rows
EDGE_MIN_JUMP = 12.0  # grey levels, in the row's level or range
MARGIN_MAX_SHARE = 0.45  # a picture that is margin to a larger part on one side is a plain one: nothing is cropped
PEELS = 4  # margins of different levels that may lie in each other, as a window's bars do
MIN_SIDE = 24  # working pixels that are left at least
CORNER_LEVELS = (40, 250)  # grey levels: this dark or this bright, and connected to a corner, is vignette or filling
CORNER_MAX_SHARE = 0.6  # a picture that is so to a larger part is a dark or a bright picture
MASK_EDGE = 7  # working pixels: the vignette's edge gives features too
CONTRAST = 0.01  # SIFT's threshold, low: skin is smooth
DETECTED = 3  # times as many features are detected as are taken, so that they can be spread
CELLS = 6  # a side of a grid
CELL_MAX_SHARE = 1 / 12  # of the features: thrice what a cell would have if all had the same
DESCRIPTOR_SCALE = 512.0  # RootSIFT values are below 0.5 but for the odd one: one byte each

Array = np.ndarray[Any, Any]


class Canonical(NamedTuple):
    """A picture at working size.

    grey: (height, width) uint8, without clutter.
    mask: likewise, 255 where the picture is, 0 in a vignette.
    clear: likewise, 255 where there was no clutter either.
    to_working: 3 by 3, pixels of the original to working pixels.
    """

    grey: Array
    mask: Array
    clear: Array
    to_working: Array


class Features(NamedTuple):
    """Local features of one picture, strongest first.

    points: (n, 4) float32: x and y in working pixels, log2 of the size, angle in radians.
    descriptors: (n, 128) uint8, RootSIFT.
    """

    points: Array
    descriptors: Array


def canonical(rgb: Array, *, side_pixels: int) -> Canonical:
    """Take out clutter, crop uniform margins and bring the longer side to `side_pixels`.

    Args:
        rgb: (height, width, 3) uint8.
        side_pixels: of the working size.

    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    whole = (0, 0, grey.shape[1], grey.shape[0])
    working, to_working = _at_working_size(grey, whole, side_pixels)
    cleaned, cluttered = clean(working)
    box = _content_box(cleaned)
    if box != (0, 0, *working.shape[::-1]):
        corners = np.array([[box[0], box[2]], [box[1], box[3]]]) / np.diag(to_working)[:2, None]
        left, top, right, bottom = np.rint(corners).T.astype(int).ravel().tolist()
        working, to_working = _at_working_size(grey, (left, top, right, bottom), side_pixels)
        cleaned, cluttered = clean(working)
    mask = _picture_mask(cleaned)
    return Canonical(cleaned, mask, mask & ~cluttered, to_working)


def extract(picture: Canonical, *, max_features: int) -> Features:
    """Take SIFT features of the contrast-equalised picture, as RootSIFT (Arandjelovic 2012).

    The strongest come first, but no cell of a grid has more than its share among them, so that one contrasty spot, a
    label say, does not take the place of the skin around it. Spread evenly they would find fewer second photographs.
    """
    sift, clahe = _detectors(DETECTED * max_features)
    equalised = clahe.apply(picture.grey)
    keypoints = sift.detect(equalised, picture.clear)
    if not keypoints:
        return Features(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))
    found = np.array([(*k.pt, k.response) for k in keypoints], dtype=np.float32)
    order = _strongest(found, equalised.shape, share=round(CELL_MAX_SHARE * max_features))
    chosen = [keypoints[i] for i in order[:max_features]]
    kept, descriptors = sift.compute(equalised, chosen)
    points = np.array([(*k.pt, np.log2(k.size), np.deg2rad(k.angle)) for k in kept], dtype=np.float32)
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return Features(points, np.clip(np.rint(root * DESCRIPTOR_SCALE), 0, 255).astype(np.uint8))


def mirror(descriptors: Array) -> Array:
    """Return the descriptors of the mirrored picture: the 4 by 4 cells upside down, the 8 directions negated."""
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return np.ascontiguousarray(cells[..., (-np.arange(8)) % 8]).reshape(-1, 128)


@lru_cache(maxsize=2)
def _detectors(max_features: int) -> tuple[cv2.SIFT, cv2.CLAHE]:
    return cv2.SIFT.create(nfeatures=max_features, contrastThreshold=CONTRAST), cv2.createCLAHE(3.0, (8, 8))


def _at_working_size(grey: Array, box: tuple[int, int, int, int], side_pixels: int) -> tuple[Array, Array]:
    """Cut a box (left, top, right, bottom) out and resize it; return it and the map from the whole's pixels to its."""
    left, top, right, bottom = box
    scale = side_pixels / max(right - left, bottom - top)
    width, height = (max(8, round(length * scale)) for length in (right - left, bottom - top))
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    working = cv2.resize(grey[top:bottom, left:right], (width, height), interpolation=resampling)
    sx, sy = width / (right - left), height / (bottom - top)
    return working, np.array([[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5], [0, 0, 1]])


def _strongest(points: Array, shape: tuple[int, ...], *, share: int) -> Array:
    """Order features, rows of x, y and response: by response, those beyond their cell's share after all others."""
    cell = np.floor(points[:, :2] / (shape[1] + 1, shape[0] + 1) * CELLS).astype(np.int64) @ (1, CELLS)
    by_cell = np.lexsort([-points[:, 2], cell])
    place = np.empty(len(points), np.int64)
    place[by_cell] = np.arange(len(points)) - np.searchsorted(cell[by_cell], cell[by_cell])
    return np.lexsort([-points[:, 2], place >= share])


def _content_box(grey: Array) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what is left without uniform margins."""
    height, width = grey.shape
    left, top, right, bottom = 0, 0, width, height
    for _ in range(PEELS):
        inner = grey[top:bottom, left:right]
        rows = [_uniform(side) for side in (inner, inner[::-1])]
        columns = [_uniform(side) for side in (inner.T, inner.T[::-1])]
        if not any(rows + columns):
            break
        left, right, top, bottom = left + columns[0], right - columns[1], top + rows[0], bottom - rows[1]
        if min(right - left, bottom - top) < MIN_SIDE:
            return 0, 0, width, height
    if max(left, width - right) > MARGIN_MAX_SHARE * width or max(top, height - bottom) > MARGIN_MAX_SHARE * height:
        return 0, 0, width, height
    return left, top, right, bottom


def _uniform(grey: Array) -> int:
    """Count the rows, from the first on, that are uniform and of the first row's level, if they end at an edge.

    Skin that fades into its surroundings ends at none.
    """
    low, middle, high = (round(share * (grey.shape[1] - 1)) for share in (MARGIN_TAILS[0], 0.5, MARGIN_TAILS[1]))
    first = np.sort(grey[0]).astype(np.float32)
    if first[high] - first[low] > MARGIN_MAX_RANGE:  # as in most pictures: the other rows need no look
        return 0
    rows = np.sort(grey, axis=1).astype(np.float32)
    level, spread = rows[:, middle], rows[:, high] - rows[:, low]
    margin = (spread <= MARGIN_MAX_RANGE) & (np.abs(level - level[0]) <= MARGIN_MAX_RANGE / 2)
    if margin.all():
        return len(margin)
    count = int(np.argmin(margin))
    beyond = min(count + EDGE_WIDTH, len(margin) - 1)
    jump = abs(level[beyond] - level[count - 1]) + max(0.0, spread[beyond] - spread[count - 1])
    return count if jump >= EDGE_MIN_JUMP else 0


def _picture_mask(grey: Array) -> Array:
    """Mask the corners that a vignette, or the filling of a turned picture, makes black or white: 255 is picture."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 2)
    filling = np.zeros(grey.shape, np.uint8)
    for extreme in (smooth <= CORNER_LEVELS[0], smooth >= CORNER_LEVELS[1]):
        _, labels = cv2.connectedComponents(extreme.astype(np.uint8), connectivity=4)
        corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
        filling |= np.isin(labels, list(corners)).astype(np.uint8)
    if not filling.any() or filling.mean() > CORNER_MAX_SHARE:
        return np.full(grey.shape, 255, np.uint8)
    edge = np.ones((2 * MASK_EDGE + 1, 2 * MASK_EDGE + 1), np.uint8)
    kept: Array = (1 - cv2.dilate(filling, edge)) * np.uint8(255)
    return kept
