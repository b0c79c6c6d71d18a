"""A second look at a pair of which one picture is but a part of the other: in a collage, on a page, cut out of it.

At working size the part has few pixels, too few to tell a copy from another photograph. So what the one covers is cut
out of the other's file and brought to working size by itself, and the two are compared again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.dedup.features import Canonical, Features, canonical, extract
from pipeline.dedup.geometry import align
from pipeline.dedup.params import Verify
from pipeline.dedup.relations import Finding, compare

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
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale > 1:
        turned = compare_closely(b, a, np.linalg.inv(matrix), params=params)
        return turned and _mapped(turned, np.linalg.inv(turned.seen.matrix))
    if scale * MIN_GAIN > 1:
        return None
    height, width = a.picture.grey.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    covered = cv2.perspectiveTransform(corners[None], matrix)[0]
    part = close_up(b.read(), b.picture, covered, side_pixels=params.side_pixels)
    if part is None:
        return None
    alignment = align(
        a.features,
        extract(part, max_features=params.max_features),
        b_width=part.grey.shape[1],
        min_inliers=params.same_lesion_min_inliers,
    )
    found = compare(a.picture, part, alignment, params=params) if alignment else None
    back = b.picture.to_working @ np.linalg.inv(part.to_working)
    return found and _mapped(found, back @ found.seen.matrix)


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
    corners = cv2.perspectiveTransform(covered[None], np.linalg.inv(picture.to_working))[0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin, shape = MARGIN * (high - low), np.array(rgb.shape[1::-1])
    left, top = np.clip(np.floor(low - margin), 0, shape).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + margin) + 1, 0, shape).astype(int).tolist()
    longer = max(right - left, bottom - top)
    before = longer * np.sqrt(np.linalg.det(picture.to_working[:2, :2]))
    if min(right - left, bottom - top) < MIN_SIDE or min(longer, side_pixels) < MIN_GAIN * before:
        return None
    part = canonical(np.ascontiguousarray(rgb[top:bottom, left:right]), side_pixels=side_pixels)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return part._replace(to_working=part.to_working @ shift)


def _mapped(finding: Finding, matrix: Array) -> Finding:
    return finding._replace(seen=finding.seen._replace(matrix=matrix))
