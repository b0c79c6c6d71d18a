"""Occlusions by morphological top-hat, as DullRazor (Lee et al. 1997): hairs, letters, rulers' ticks, bubbles.

    occluded = max(I - open(I), close(I) - I) > threshold,  filled by the Gaussian mean of what is not occluded

Occlusions are thin and far brighter or darker than what surrounds them. Two images of one lesion may differ in them,
and images of two lesions may share them (a watermark, a screen's frame), so they must neither spoil a proof nor be one.
DullRazor looks for dark hairs; here bright things count as well, and the fill is smooth, since a fill with texture
would be compared.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = 11  # working pixels: what is wider is no occlusion
MIN_CONTRAST = 25  # grey levels against what surrounds it; most pigment networks stay below
MIN_CONTRAST_RATIO = 2.5  # against the image's median: where all has contrast, as in a sharpened copy, it is skin
SMOOTHING = 0.7  # sigma in working pixels, against noise
MIN_AREA = 24  # pixels that belong together: noise stays where it is
EDGE = 5  # working pixels: side of what is added around
FILL = 6.0  # sigma in working pixels


def fill_occlusions(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fill occlusions by what surrounds them.

    Args:
        grey: (height, width), at working size.

    Returns:
        the image without occlusions, and where they were: 255, elsewhere 0; both (height, width).

    """
    occluded = find_occlusions(grey)
    if not occluded.any():
        return grey, occluded
    clear = (occluded == 0).astype(np.float32)
    weight = cv2.GaussianBlur(clear, (0, 0), FILL)
    around = cv2.GaussianBlur(grey * clear, (0, 0), FILL) / np.maximum(weight, 1e-3)
    filled = np.where(occluded > 0, np.where(weight > 1e-3, around, grey), grey)  # noqa: PLR2004 - nothing clear is near
    return np.rint(filled).astype(np.uint8), occluded


def find_occlusions(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark what is thin and stands out, (height, width): 255 there, 0 elsewhere."""
    smooth = cv2.GaussianBlur(grey, (0, 0), SMOOTHING)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDTH, WIDTH))
    bright = cv2.morphologyEx(smooth, cv2.MORPH_TOPHAT, element)
    dark = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, element)
    contrast = cv2.max(bright, dark)
    least = max(MIN_CONTRAST, MIN_CONTRAST_RATIO * _median(contrast))
    stands_out = (contrast > least).astype(np.uint8)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(stands_out, connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= MIN_AREA
    large[0] = False  # what does not stand out
    stands_out = large[parts].astype(np.uint8)
    return np.asarray(cv2.dilate(stands_out, np.ones((EDGE, EDGE), np.uint8)) * np.uint8(255))


def _median(values: NDArray[np.uint8]) -> int:
    """Return the median of bytes; counting them is faster than sorting them."""
    counts = np.bincount(values.ravel(), minlength=256)
    return int(np.searchsorted(np.cumsum(counts), values.size / 2))
