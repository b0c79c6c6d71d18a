"""Borders: where in a file the image content is, by uniform rows from the edge inwards and flat connected surfaces.

Without uniform borders (`content_box`), and without the window, page or slide that shows it (`framed_box`). What
surrounds an image there (bars, buttons, lines of text) is the same around many others, so nothing of it may be
compared. It is drawn: surfaces of one grey level, which skin is not, reach the file's edge, and the content is a full
rectangle among them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BORDER_MAX_RANGE = 10.0  # grey levels: a row or column this uniform, from the edge inwards, is border
BORDER_TAILS = (0.06, 0.94)  # between these shares of its pixels the range is taken
EDGE_WIDTH = 2  # rows
EDGE_MIN_JUMP = 12.0  # grey levels, in the row's level or range
BORDER_MAX_SHARE = 0.45  # an image that is border to a larger part on one side is a plain one: nothing is cropped
PEELS = 4  # borders of different levels that may lie in each other, as a window's bars do
MIN_SIDE = 24  # working pixels that are left at least

PLAIN_RANGE = 2  # grey levels in a square of SURFACE_REACH: somewhere compression leaves a drawn surface so plain
SURFACE_LEVELS = 4  # grey levels up and down: near what stands on a surface compression spoils it by so much
SURFACE_SIDE_SHARE = 0.15  # of an edge of the file that has the surface's level
SURFACE_LEVELS_A_SIDE = 4
SURFACE_MIN_SHARE = 0.03  # of the file
SURFACE_REACH = 5  # working pixels: a pixel with the surface all around, so far, is inside it
SURFACE_MIN_INSIDE = 0.45  # of a surface; places of smooth skin with one level are ragged
LETTERS = 9  # working pixels: what is narrower on a surface is no content
FRAMED_SHARE = (0.1, 0.95)  # of the file that the content takes
FRAMED_MIN_FULL = 0.9  # of its bounding rectangle
SECOND_MIN_SHARE = 0.25  # of the largest part: another this large is content too,
SECOND_MIN_FULL = 0.5  # if it fills so much of its bounding rectangle; bars and panels of a window are ragged
FRAME_DISTANCE = 4  # working pixels: the two sides of an edge are looked at here, beyond what resampling blurs
FRAME_MIN_SURFACE = 0.4  # of a line along the content's edge; letters and bars may stand there too
FRAME_MIN_JUMP = 8.0  # grey levels across it, the median
FRAME_INSET = 2  # working pixels that resampling blurs

Box = tuple[int, int, int, int]  # left, top, right, bottom


def content_box(grey: NDArray[np.uint8]) -> Box:
    """Return what is left without uniform borders; the full frame, if that is a plain image.

    Args:
        grey: (height, width), without occlusions: letters on a border do not make it content.

    """
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
    if max(left, width - right) > BORDER_MAX_SHARE * width or max(top, height - bottom) > BORDER_MAX_SHARE * height:
        return 0, 0, width, height
    return left, top, right, bottom


def framed_box(grey: NDArray[np.uint8]) -> Box:
    """Return the one rectangle that flat surfaces surround; the full frame, if there is none or there are several.

    The panels of a collage stay together: a copy of any of them is to be found.

    Args:
        grey: (height, width) at working size, as it is: filling letters would smear what lies around them.

    """
    height, width = grey.shape
    full_frame = (0, 0, width, height)
    surface = _surfaces(grey)
    rectangle = _only_rectangle(surface)
    if rectangle is None:
        return full_frame
    x, y, w, h = rectangle
    borders = (x, y, width - x - w, height - y - h)
    rows, columns = slice(y, y + h), slice(x, x + w)
    sides = (  # each with the file's edge first, and the content's edge after so many rows
        (grey[rows].T, surface[rows].T, borders[0]),
        (grey[:, columns], surface[:, columns], borders[1]),
        (grey[rows, ::-1].T, surface[rows, ::-1].T, borders[2]),
        (grey[::-1, columns], surface[::-1, columns], borders[3]),
    )
    if not all(_is_edge(*side) for side in sides if side[2] >= FRAME_DISTANCE):
        return full_frame
    left, top, right, bottom = (FRAME_INSET if border else 0 for border in borders)
    return x + left, y + top, x + w - right, y + h - bottom


def _only_rectangle(surface: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return the one full, large rectangle that is no surface: left, top, width, height; None if not one."""
    if not surface.any():
        return None
    others = cv2.morphologyEx(255 - surface, cv2.MORPH_OPEN, np.ones((LETTERS, LETTERS), np.uint8))
    outlines, _ = cv2.findContours(others, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    least = SECOND_MIN_SHARE * cv2.contourArea(outline)
    if sum(cv2.contourArea(one) >= least and _fullness(one) >= SECOND_MIN_FULL for one in outlines) > 1:
        return None
    x, y, w, h = cv2.boundingRect(outline)
    sized = FRAMED_SHARE[0] <= w * h / surface.size <= FRAMED_SHARE[1] and min(w, h) >= MIN_SIDE + 2 * FRAME_INSET
    return (x, y, w, h) if sized and _fullness(outline) >= FRAMED_MIN_FULL else None


def _fullness(outline: NDArray[np.int32]) -> float:
    """Return the share of its bounding rectangle that an outline encloses; it runs through its pixels' centres."""
    _, _, w, h = cv2.boundingRect(outline)
    return float(cv2.contourArea(outline) / max(1, (w - 1) * (h - 1)))


def _uniform(grey: NDArray[np.uint8]) -> int:
    """Count the rows, from the first on, that are uniform and of the first row's level, if they end at an edge.

    Skin that fades into its surroundings ends at none.
    """
    low, middle, high = (round(share * (grey.shape[1] - 1)) for share in (BORDER_TAILS[0], 0.5, BORDER_TAILS[1]))
    first = np.sort(grey[0]).astype(np.float32)
    if first[high] - first[low] > BORDER_MAX_RANGE:  # as in most images: the other rows need no look
        return 0
    rows = np.sort(grey, axis=1).astype(np.float32)
    level, spread = rows[:, middle], rows[:, high] - rows[:, low]
    uniform = (spread <= BORDER_MAX_RANGE) & (np.abs(level - level[0]) <= BORDER_MAX_RANGE / 2)
    if uniform.all():
        return len(uniform)
    count = int(np.argmin(uniform))
    beyond = min(count + EDGE_WIDTH, len(uniform) - 1)
    jump = abs(level[beyond] - level[count - 1]) + max(0.0, spread[beyond] - spread[count - 1])
    return count if jump >= EDGE_MIN_JUMP else 0


def _surfaces(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark what is flat, large, solid and reaches the file's edge: (height, width), 255 there."""
    surface = np.zeros(grey.shape, np.uint8)
    around = np.ones((SURFACE_REACH, SURFACE_REACH), np.uint8)
    ranges = cv2.dilate(grey, around) - cv2.erode(grey, around)
    least = SURFACE_MIN_SHARE * grey.size
    if np.count_nonzero(ranges <= PLAIN_RANGE) < least:  # hardly a plain place: nothing is drawn here
        return surface
    for level in _edge_levels(grey):
        flat = cv2.inRange(grey, max(0, level - SURFACE_LEVELS), min(255, level + SURFACE_LEVELS))
        inside = cv2.erode(flat, around)
        if cv2.countNonZero(inside) < SURFACE_MIN_INSIDE * least:
            continue
        _, parts, statistics, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
        edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
        large = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] >= least)
        for part in np.intersect1d(large[large > 0], edge):  # 0 is what has another level
            there = cv2.inRange(parts, int(part), int(part))
            share = cv2.countNonZero(there & inside) / statistics[part, cv2.CC_STAT_AREA]
            if share >= SURFACE_MIN_INSIDE:
                surface |= there
    return surface


def _edge_levels(grey: NDArray[np.uint8]) -> list[int]:
    """List the grey levels that large parts of the file's edges have."""
    levels: set[int] = set()
    window = np.ones(2 * SURFACE_LEVELS + 1, np.int64)
    for side in (grey[0], grey[-1], grey[:, 0], grey[:, -1]):
        counts = np.bincount(side, minlength=256)
        for _ in range(SURFACE_LEVELS_A_SIDE):
            near = np.convolve(counts, window, "same")
            centre = int(near.argmax())
            if near[centre] < SURFACE_SIDE_SHARE * len(side):
                break
            low = max(0, centre - SURFACE_LEVELS)
            level = low + int(counts[low : centre + SURFACE_LEVELS + 1].argmax())
            counts[max(0, level - 2 * SURFACE_LEVELS) : level + 2 * SURFACE_LEVELS + 1] = 0
            levels.add(level)
    return sorted(levels)


def _is_edge(grey: NDArray[np.uint8], surface: NDArray[np.uint8], count: int) -> bool:
    """Say whether content that begins after `count` rows borders there on a surface, with a jump in grey."""
    outside, inside = count - FRAME_DISTANCE, count + FRAME_DISTANCE - 1
    jump = np.abs(grey[outside].astype(np.int16) - grey[inside])
    flat = float((surface[outside : outside + 2] > 0).mean())
    return flat >= FRAME_MIN_SURFACE and float(np.median(jump)) >= FRAME_MIN_JUMP
