"""Recursive X-Y cuts (Nagy and Seth 1984): the panels of a multi-panel image, a collage, a page or a before and after.

A cut runs along rows or columns from side to side, and the grey level steps there as it does nowhere near; skin hardly
ever does so. A panel may have cuts of its own, so an image is cut again and again. What that yields is looked at beside
the full frame, so a cut too many costs time and loses nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.borders import Box

STEP = 3  # working pixels over which a step is taken: resampling blurs it
BESIDE = (7, 17)  # working pixels: between these widths around a step lies what it must stand out from
MIN_STEP = 3.0  # grey levels
MIN_RATIO = 2.0  # of a step, by the mean of those beside it
MIN_SHARE = 0.55  # of a cut's length at which the step stands out
INSET = 2  # working pixels along a cut that resampling blurs
MIN_STRIP = 6  # working pixels beside a cut: less is an edge's own
MIN_SIDE = 40  # working pixels of a panel
MIN_AREA_SHARE = 0.05  # of the image
MIN_STD = 3.0  # grey levels of a panel: less is a gap or a border
MAX_CUTS = 8  # that bound one panel


def find_panels(grey: NDArray[np.uint8]) -> list[Box]:
    """Return the panels that cuts bound, the largest first; none for an image without cuts.

    Args:
        grey: (height, width) at working size, as it is.

    """
    height, width = grey.shape
    full_frame = (0, 0, width, height)
    panels = [box for box in _leaves(grey, full_frame, MAX_CUTS) if box != full_frame and _is_panel(grey, box)]
    return sorted(panels, key=lambda box: (-_area(box), box))


def _leaves(grey: NDArray[np.uint8], box: Box, cuts: int) -> list[Box]:
    """Cut a box where it is clearest, and cut what that leaves."""
    left, top, right, bottom = box
    inner = grey[top:bottom, left:right]
    if cuts == 0 or min(inner.shape) < MIN_SIDE:
        return [box]
    (column, down), (row, across) = _clearest_cut(inner), _clearest_cut(inner.T)
    if max(down, across) < MIN_SHARE:
        return [box]
    if down >= across:
        halves = (left, top, left + column - INSET, bottom), (left + column + INSET, top, right, bottom)
    else:
        halves = (left, top, right, top + row - INSET), (left, top + row + INSET, right, bottom)
    return [leaf for half in halves for leaf in _leaves(grey, half, cuts - 1)]


def _clearest_cut(grey: NDArray[np.uint8]) -> tuple[int, float]:
    """Find the column before which the grey level steps in the largest share of the rows; return it and the share."""
    if grey.shape[1] < 2 * MIN_STRIP + STEP:
        return 0, 0.0
    levels = grey.astype(np.float32)
    steps = cv2.absdiff(levels[:, STEP:], levels[:, :-STEP])
    near, far = (width * cv2.blur(steps, (width, 1), borderType=cv2.BORDER_REFLECT) for width in BESIDE)
    least = cv2.max((far - near) * (MIN_RATIO / (BESIDE[1] - BESIDE[0])), MIN_STEP)
    shares = (steps >= least).mean(axis=0)
    before = (STEP + 1) // 2  # a step from column i to column i + STEP lies before column i + 2
    shares[: MIN_STRIP - before] = 0
    shares[len(shares) - MIN_STRIP + before - 1 :] = 0
    best = int(shares.argmax())
    return best + before, float(shares[best])


def _is_panel(grey: NDArray[np.uint8], box: Box) -> bool:
    left, top, right, bottom = box
    large = min(right - left, bottom - top) >= MIN_SIDE and _area(box) >= MIN_AREA_SHARE * grey.size
    return large and float(grey[top:bottom, left:right].std()) >= MIN_STD


def _area(box: Box) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
