"""The pictures on a sheet, in a collage, on a page or beside an earlier photograph: what straight seams part.

A seam runs along rows or columns from side to side, and the grey level steps there as it does nowhere near; skin hardly
ever does so. A part may have seams of its own, so a sheet is cut again and again (recursive X-Y cuts, Nagy and
Seth 1984). What that yields is looked at beside the whole, so a cut too many costs time and loses nothing.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.stages.dedup.margins import Box

STEP = 3  # working pixels over which a step is taken: resampling blurs it
BESIDE = (7, 17)  # working pixels: between these widths around a step lies what it must stand out from
MIN_STEP = 3.0  # grey levels
MIN_RATIO = 2.0  # of a step, by the mean of those beside it
MIN_SHARE = 0.55  # of a seam's length at which the step stands out
INSET = 2  # working pixels along a seam that resampling blurs
MIN_STRIP = 6  # working pixels beside a seam: less is an edge's own
MIN_SIDE = 40  # working pixels of a part
MIN_AREA_SHARE = 0.05  # of the sheet
MIN_STD = 3.0  # grey levels of a part: less is a gap or a margin
MAX_CUTS = 8  # that bound one part

Array = np.ndarray[Any, Any]


def parts(grey: Array) -> list[Box]:
    """Return the parts that seams bound, the largest first; none for a picture without seams.

    Args:
        grey: (height, width) uint8 at working size, as it is.

    """
    height, width = grey.shape
    whole = (0, 0, width, height)
    found = [box for box in _leaves(grey, whole, MAX_CUTS) if box != whole and _is_picture(grey, box)]
    return sorted(found, key=lambda box: (-_area(box), box))


def _leaves(grey: Array, box: Box, cuts: int) -> list[Box]:
    """Cut a box at its clearest seam, and what that leaves likewise."""
    left, top, right, bottom = box
    inner = grey[top:bottom, left:right]
    if cuts == 0 or min(inner.shape) < MIN_SIDE:
        return [box]
    (column, down), (row, across) = _seam(inner), _seam(inner.T)
    if max(down, across) < MIN_SHARE:
        return [box]
    if down >= across:
        halves = (left, top, left + column - INSET, bottom), (left + column + INSET, top, right, bottom)
    else:
        halves = (left, top, right, top + row - INSET), (left, top + row + INSET, right, bottom)
    return [leaf for half in halves for leaf in _leaves(grey, half, cuts - 1)]


def _seam(grey: Array) -> tuple[int, float]:
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


def _is_picture(grey: Array, box: Box) -> bool:
    left, top, right, bottom = box
    large = min(right - left, bottom - top) >= MIN_SIDE and _area(box) >= MIN_AREA_SHARE * grey.size
    return large and float(grey[top:bottom, left:right].std()) >= MIN_STD


def _area(box: Box) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
