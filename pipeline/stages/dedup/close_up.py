"""A second look at a pair of which one picture is but a part of the other: in a collage, on a page, cut out of it.

At working size the part has few pixels, too few to tell a copy from another photograph. So what the one covers is cut
out of the other's file and brought to working size by itself, and the two are compared again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.stages.dedup.features import Canonical, Features, canonical, extract
from pipeline.stages.dedup.geometry import align
from pipeline.stages.dedup.params import Verify
from pipeline.stages.dedup.relations import Finding, compare

MIN_GAIN = 1.2  # pixels that show what one showed before: less tells nothing new
MARGIN = 0.02  # of the part's sides, since the map is not exact
MIN_SIDE = 24  # pixels of the file

Array = np.ndarray[Any, Any]


class Side(NamedTuple):
    """One picture of a pair: at working size, its features, and how to read its file, (height, width, 3) uint8."""

    picture: Canonical
    features: Features
    read: Callable[[], Array]


def compare_closely(a: Side, b: Side, matrix: Array, *, params: Verify) -> Finding | None:
    """Compare the picture that is shown larger with the part of the other that it covers.

    Args:
        a: one picture.
        b: the other.
        matrix: 3 by 3, working pixels of a to those of b.
        params: thresholds.

    Returns:
        what they are, in working pixels as before; None if there is nothing to gain, or if nothing is proven.

    """
    larger, smaller = a, b
    covered = _moved(_corners(a.picture), matrix)
    scale = float(np.sqrt(cv2.contourArea(covered.astype(np.float32)) / a.picture.grey.size))
    if not 0 < scale < np.inf:  # a homography may fold the picture
        return None
    swapped = scale > 1
    if swapped:
        larger, smaller, matrix, scale = b, a, np.linalg.inv(matrix), 1 / scale
        covered = _moved(_corners(b.picture), matrix)
    if scale * MIN_GAIN > 1:
        return None
    part = close_up(smaller.read(), smaller.picture, covered, side_pixels=params.side_pixels)
    if part is None:
        return None
    features = extract(part, max_features=params.max_features)
    least = params.same_lesion_min_inliers
    alignment = align(larger.features, features, b_width=part.grey.shape[1], min_inliers=least)
    found = compare(larger.picture, part, alignment, params=params) if alignment else None
    if found is None:
        return None
    matrix = smaller.picture.to_working @ np.linalg.inv(part.to_working) @ found.seen.matrix
    matrix = np.linalg.inv(matrix) if swapped else matrix
    return found._replace(seen=found.seen._replace(matrix=matrix))


def close_up(rgb: Array, picture: Canonical, covered: Array, *, side_pixels: int) -> Canonical | None:
    """Cut out the part of a file that another picture covers, and bring it to working size.

    Args:
        rgb: (height, width, 3) uint8, the file.
        picture: what it became as a whole.
        covered: (n, 2) corners of what is covered, in its working pixels.
        side_pixels: of the working size.

    Returns:
        the part, `to_working` from pixels of the file; None if its file has no more to show than `picture` does.

    """
    corners = _moved(covered, np.linalg.inv(picture.to_working))
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin, shape = MARGIN * (high - low), np.array(rgb.shape[1::-1])
    left, top = np.clip(np.floor(low - margin), 0, shape).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + margin) + 1, 0, shape).astype(int).tolist()
    longer = max(right - left, bottom - top)
    before = longer * np.sqrt(np.linalg.det(picture.to_working[:2, :2]))
    if min(right - left, bottom - top) < MIN_SIDE or min(longer, side_pixels) < MIN_GAIN * before:
        return None
    return canonical(rgb, side_pixels=side_pixels, box=(left, top, right, bottom))


def _corners(picture: Canonical) -> Array:
    height, width = picture.grey.shape
    return np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5


def _moved(points: Array, matrix: Array) -> Array:
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0])
