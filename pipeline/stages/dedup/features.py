"""Local features of a picture, brought to one working size first, so that small and huge ones behave alike.

What many unlike pictures share is left out before any feature is taken: what surrounds a picture (see `margins`), which
is cropped, clutter (see `clutter`), which is filled, and the black corners of a dermatoscope's vignette, which are
masked. So is noise (see `noise`), which hides what a picture shares with its copy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.stages.dedup.clutter import clean
from pipeline.stages.dedup.margins import Box, content_box, framed_box
from pipeline.stages.dedup.noise import quieten
from pipeline.stages.dedup.sheets import parts

CORNER_LEVELS = (40, 250)  # grey levels: this dark or this bright, and connected to a corner, is vignette or filling
CORNER_MAX_SHARE = 0.6  # a picture that is so to a larger part is a dark or a bright picture
MASK_EDGE = 7  # working pixels: the vignette's edge gives features too
CONTRAST = 0.01  # SIFT's threshold, low: skin is smooth
DETECTED = 3  # times as many features are detected as are taken, so that they can be spread
CELLS = 6  # a side of a grid
CELL_MAX_SHARE = 1 / 12  # of the features: thrice what a cell would have if all had the same
SAME_VIEW = 0.7  # intersection by union: a part that is most of the whole shows nothing else
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


def canonical(rgb: Array, *, side_pixels: int, box: Box | None = None) -> Canonical:
    """Crop what surrounds the picture, bring the longer side to `side_pixels`, take out noise and clutter.

    Args:
        rgb: (height, width, 3) uint8.
        side_pixels: of the working size.
        box: the part of it that is the picture; None: all.

    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    box = box or _whole(grey)
    return _canonical(grey, box, _at_working_size(grey, box, side_pixels), side_pixels)


def views(rgb: Array, *, side_pixels: int) -> list[tuple[Box, Canonical]]:
    """Return the picture as a whole and, if seams part it (see `sheets`), each part that shows something else.

    Args:
        rgb: (height, width, 3) uint8.
        side_pixels: of the working size.

    Returns:
        boxes in pixels of the file, and what is in them at working size.

    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    whole = _whole(grey)
    resized = _at_working_size(grey, whole, side_pixels)
    found = [(whole, _canonical(grey, whole, resized, side_pixels))]
    for inner in parts(resized[0]):
        box = _part(whole, inner, resized[0].shape)
        part = _canonical(grey, box, _at_working_size(grey, box, side_pixels), side_pixels)
        if all(_shared(part, before) < SAME_VIEW for _, before in found):
            found.append((box, part))
    return found


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


def _canonical(grey: Array, box: Box, resized: tuple[Array, Array], side_pixels: int) -> Canonical:
    """Go on from what `_at_working_size` makes of a box."""
    working, to_working = resized
    framed = framed_box(working)
    if framed != (0, 0, *working.shape[::-1]):
        box = _part(box, framed, working.shape)
        working, to_working = _at_working_size(grey, box, side_pixels)
    cleaned, cluttered = clean(working)
    content = content_box(cleaned)
    if content != (0, 0, *working.shape[::-1]):
        working, to_working = _at_working_size(grey, _part(box, content, working.shape), side_pixels)
        cleaned, cluttered = clean(working)
    mask = _picture_mask(cleaned)
    return Canonical(cleaned, mask, mask & ~cluttered, to_working)


def _whole(grey: Array) -> Box:
    return 0, 0, grey.shape[1], grey.shape[0]


def _at_working_size(grey: Array, box: Box, side_pixels: int) -> tuple[Array, Array]:
    """Cut a box out, without noise, and resize it; return it and the map from the whole's pixels to its."""
    left, top, right, bottom = box
    scale = side_pixels / max(right - left, bottom - top)
    width, height = (max(8, round(length * scale)) for length in (right - left, bottom - top))
    cut = grey[top:bottom, left:right]
    if scale < 1:  # what is averaged has less noise
        working = quieten(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))
    else:
        working = cv2.resize(quieten(cut), (width, height), interpolation=cv2.INTER_CUBIC)
    sx, sy = width / (right - left), height / (bottom - top)
    return working, np.array([[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5], [0, 0, 1]])


def _part(box: Box, inner: Box, shape: tuple[int, ...]) -> Box:
    """Return in pixels of the whole the part of a box that `inner` is in pixels of its resized copy of this shape."""
    sx, sy = (box[2] - box[0]) / shape[1], (box[3] - box[1]) / shape[0]
    left, right = (round(box[0] + x * sx) for x in inner[::2])
    top, bottom = (round(box[1] + y * sy) for y in inner[1::2])
    return left, top, right, bottom


def _shared(a: Canonical, b: Canonical) -> float:
    """Return by how much what two views of one file show overlaps: intersection by union."""
    (left, top, right, bottom), other = (_shown(view) for view in (a, b))
    width = min(right, other[2]) - max(left, other[0])
    height = min(bottom, other[3]) - max(top, other[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((right - left) * (bottom - top) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def _shown(view: Canonical) -> tuple[float, ...]:
    """Return the box of a view in pixels of the file, what was cropped left out."""
    height, width = view.grey.shape
    corners = np.array([[-0.5, -0.5, 1], [width - 0.5, height - 0.5, 1]]) @ np.linalg.inv(view.to_working).T
    return tuple(corners[:, :2].ravel().tolist())


def _strongest(points: Array, shape: tuple[int, ...], *, share: int) -> Array:
    """Order features, rows of x, y and response: by response, those beyond their cell's share after all others."""
    cell = np.floor(points[:, :2] / (shape[1] + 1, shape[0] + 1) * CELLS).astype(np.int64) @ (1, CELLS)
    by_cell = np.lexsort([-points[:, 2], cell])
    place = np.empty(len(points), np.int64)
    place[by_cell] = np.arange(len(points)) - np.searchsorted(cell[by_cell], cell[by_cell])
    return np.lexsort([-points[:, 2], place >= share])


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
