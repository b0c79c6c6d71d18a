"""Second-pass crop: a pair of which one image is but a part of the other (in a collage, on a page, cut out of it).

At working size the part has few pixels, too few to tell a copy from another photograph. So what the one covers is cut
out of the other's file and brought to working size by itself, and the two are aligned and compared again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.keypoints import Keypoints, detect_keypoints
from pipeline.stages.dedup.features.preprocess import SIDE_PIXELS, PreprocessedImage, preprocess
from pipeline.stages.dedup.verification.ransac import align_keypoints
from pipeline.stages.dedup.verification.relations import Edge, Thresholds, compare_by_keypoints

MIN_GAIN = 1.2  # pixels that show what one showed before: less tells nothing new
MARGIN = 0.02  # of the part's sides, since the map is not exact
MIN_SIDE = 24  # pixels of the file


class Side(NamedTuple):
    """One image of a pair: at working size, its keypoints, and how to read its file, (height, width, 3)."""

    image: PreprocessedImage
    keypoints: Keypoints
    read: Callable[[], NDArray[np.uint8]]


def compare_again(a: Side, b: Side, matrix: NDArray[np.floating[Any]], *, thresholds: Thresholds) -> Edge | None:
    """Compare the image that is shown larger with the part of the other that it covers.

    Args:
        a: one image.
        b: the other.
        matrix: 3 by 3, working pixels of a to those of b.
        thresholds: of both relations.

    Returns:
        what they are, its matrix in working pixels as before; None if there is nothing to gain, or nothing is proven.

    """
    larger, smaller = a, b
    covered = _moved(_corners(a.image), matrix)
    scale = float(np.sqrt(cv2.contourArea(covered.astype(np.float32)) / a.image.grey.size))
    if not np.isfinite(scale) or scale <= 0:  # a homography may fold the image
        return None
    swapped = scale > 1
    if swapped:
        larger, smaller, matrix, scale = b, a, np.linalg.inv(matrix), 1 / scale
        covered = _moved(_corners(b.image), matrix)
    if scale * MIN_GAIN > 1:
        return None
    part = crop_covered(smaller.read(), smaller.image, covered)
    if part is None:
        return None
    keypoints = detect_keypoints(part)
    least = thresholds.same_lesion_min_inliers
    alignment = align_keypoints(larger.keypoints, keypoints, b_width=part.grey.shape[1], min_inliers=least)
    edge = compare_by_keypoints(larger.image, part, alignment, thresholds=thresholds) if alignment else None
    if edge is None:
        return None
    matrix = smaller.image.to_working @ np.linalg.inv(part.to_working) @ edge.registration.matrix
    matrix = np.linalg.inv(matrix) if swapped else matrix
    return edge._replace(registration=edge.registration._replace(matrix=matrix))


def crop_covered(
    rgb: NDArray[np.uint8], image: PreprocessedImage, covered: NDArray[np.float64]
) -> PreprocessedImage | None:
    """Cut out the part of a file that another image covers, and bring it to working size.

    Args:
        rgb: (height, width, 3), the file.
        image: what it became in full.
        covered: (n, 2) corners of what is covered, in its working pixels.

    Returns:
        the part, `to_working` from pixels of the file; None if its file has no more to show than `image` does.

    """
    corners = _moved(covered, np.linalg.inv(image.to_working))
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin, shape = MARGIN * (high - low), np.array(rgb.shape[1::-1])
    left, top = np.clip(np.floor(low - margin), 0, shape).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + margin) + 1, 0, shape).astype(int).tolist()
    longer = max(right - left, bottom - top)
    before = longer * np.sqrt(np.linalg.det(image.to_working[:2, :2]))
    if min(right - left, bottom - top) < MIN_SIDE or min(longer, SIDE_PIXELS) < MIN_GAIN * before:
        return None
    return preprocess(rgb, box=(left, top, right, bottom))


def _corners(image: PreprocessedImage) -> NDArray[np.float64]:
    height, width = image.grey.shape
    return np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5


def _moved(points: NDArray[np.float64], matrix: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0])
