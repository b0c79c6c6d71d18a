"""Local features of a picture, brought to one working size first, so that small and huge ones behave alike.

Two things that many unlike pictures share are left out before any feature is taken: uniform borders, which are cropped,
and the black corners of a dermatoscope's vignette, which are masked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

BORDER_MAX_STD = 4.0  # grey levels: a row or column this uniform, from the edge inwards, is border
BORDER_MAX_SHARE = 0.45  # a picture that is border to a larger part on one side is a plain one: nothing is cropped
CORNER_LEVELS = (40, 250)  # grey levels: this dark or this bright, and connected to a corner, is vignette or filling
CORNER_MAX_SHARE = 0.6  # a picture that is so to a larger part is a dark or a bright picture
MASK_MARGIN = 7  # working pixels: the vignette's edge gives features too
CONTRAST = 0.01  # SIFT's threshold, low: skin is smooth
DESCRIPTOR_SCALE = 512.0  # RootSIFT values are below 0.5 but for the odd one: one byte each

Array = np.ndarray[Any, Any]


class Canonical(NamedTuple):
    """A picture at working size.

    grey: (height, width) uint8.
    mask: likewise, 255 where the picture is, 0 in a vignette.
    to_working: 3 by 3, pixels of the original to working pixels.
    """

    grey: Array
    mask: Array
    to_working: Array


class Features(NamedTuple):
    """Local features of one picture, strongest first.

    points: (n, 4) float32: x and y in working pixels, log2 of the size, angle in radians.
    descriptors: (n, 128) uint8, RootSIFT.
    """

    points: Array
    descriptors: Array


def canonical(rgb: Array, *, side_pixels: int) -> Canonical:
    """Crop uniform borders and bring the longer side to `side_pixels`.

    Args:
        rgb: (height, width, 3) uint8.
        side_pixels: of the working size.

    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    left, top, right, bottom = _content_box(grey)
    inner = grey[top:bottom, left:right]
    scale = side_pixels / max(inner.shape)
    width, height = (max(8, round(length * scale)) for length in (right - left, bottom - top))
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    working = cv2.resize(inner, (width, height), interpolation=resampling)
    sx, sy = width / (right - left), height / (bottom - top)
    to_working = np.array([[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5], [0, 0, 1]])
    return Canonical(working, _picture_mask(working), to_working)


def extract(picture: Canonical, *, max_features: int) -> Features:
    """Take the strongest SIFT features of the contrast-equalised picture, as RootSIFT (Arandjelovic 2012)."""
    sift, clahe = _detectors(max_features)
    keypoints, descriptors = sift.detectAndCompute(clahe.apply(picture.grey), picture.mask)
    if not keypoints:
        return Features(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))
    order = np.argsort([-k.response for k in keypoints], kind="stable")[:max_features]
    chosen = [keypoints[i] for i in order]
    rows = [(*k.pt, np.log2(k.size), np.deg2rad(k.angle)) for k in chosen]
    points = np.array(rows, dtype=np.float32)
    root = np.sqrt(descriptors[order] / np.maximum(descriptors[order].sum(1, keepdims=True), 1e-6))
    return Features(points, np.clip(np.rint(root * DESCRIPTOR_SCALE), 0, 255).astype(np.uint8))


def mirror(descriptors: Array) -> Array:
    """Return the descriptors of the mirrored picture: the 4 by 4 cells upside down, the 8 directions negated."""
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return np.ascontiguousarray(cells[..., (-np.arange(8)) % 8]).reshape(-1, 128)


@lru_cache(maxsize=2)
def _detectors(max_features: int) -> tuple[cv2.SIFT, cv2.CLAHE]:
    return cv2.SIFT.create(nfeatures=max_features, contrastThreshold=CONTRAST), cv2.createCLAHE(3.0, (8, 8))


def _content_box(grey: Array) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what is left without uniform borders."""
    height, width = grey.shape
    top, bottom = _uniform(grey), _uniform(grey[::-1])
    left, right = _uniform(grey.T), _uniform(grey.T[::-1])
    if max(top, bottom) > BORDER_MAX_SHARE * height or max(left, right) > BORDER_MAX_SHARE * width:
        return 0, 0, width, height
    return left, top, width - right, height - bottom


def _uniform(grey: Array) -> int:
    """Count the rows, from the first on, that are uniform and of the first row's level."""
    rows = grey.astype(np.float32)
    level = rows[0].mean()
    border = (rows.std(1) <= BORDER_MAX_STD) & (np.abs(rows.mean(1) - level) <= BORDER_MAX_STD)
    return len(border) if border.all() else int(np.argmin(border))


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
    margin = np.ones((2 * MASK_MARGIN + 1, 2 * MASK_MARGIN + 1), np.uint8)
    kept: Array = (1 - cv2.dilate(filling, margin)) * np.uint8(255)
    return kept
