"""RANSAC (Fischler and Bolles 1981): the affine map that most matched keypoints of two images agree on.

    a similarity by RANSAC, then an affine map by RANSAC among the matches near it; inliers: |M a - b| < tolerance

`registration` refines it to a homography. Matches pass Lowe's ratio test.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.keypoints import DESCRIPTOR_SCALE, Keypoints, mirror_descriptors

RATIO = 0.85  # Lowe's test: the nearest descriptor is this much nearer than the second
SIMILARITY_TOLERANCE = 6.0  # working pixels
AFFINE_TOLERANCE = 4.0
ITERATIONS = 2000
CONFIDENCE = 0.995
MAX_SCALE = 6.0
MAX_STRETCH = 1.8  # of one axis against the other
CELL = 4.0  # working pixels: matches in one cell, on either side, count once


Matches = tuple[NDArray[np.int64], NDArray[np.int64]]  # positions in a and in b


class Alignment(NamedTuple):
    """A map of working pixels, 3 by 3, from one image to the other, and the number of keypoints that agree with it."""

    matrix: NDArray[np.float64]
    inliers: int


def align_keypoints(a: Keypoints, b: Keypoints, *, b_width: int, min_inliers: int) -> Alignment | None:
    """Align two images by their keypoints, b as it is and mirrored; None if fewer than `min_inliers` agree.

    Args:
        a: keypoints of one image.
        b: keypoints of the other.
        b_width: working pixels, for the mirrored points.
        min_inliers: distinct matches that must agree.

    """
    upright, mirrored = _matches(a.descriptors, b.descriptors)
    flip = np.array([[-1.0, 0.0, b_width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    best: Alignment | None = None
    for (i, j), back in sorted([(upright, np.eye(3)), (mirrored, flip)], key=lambda item: -len(item[0][0])):
        floor = max(min_inliers, best.inliers + 1 if best else 0)
        if len(i) < floor:
            break
        target = b.points[j, :2] if back is not flip else flip_points(b.points[j, :2], width=b_width)
        fit = _fit(a.points[i, :2], target, min_inliers=floor)
        if fit:
            best = Alignment(back @ fit.matrix, fit.inliers)
    return best


def flip_points(points: NDArray[np.float32], *, width: int) -> NDArray[np.float32]:
    """Mirror points, (n, 2), left to right in an image of this width."""
    return np.stack([width - 1 - points[:, 0], points[:, 1]], axis=1).astype(np.float32)


def _matches(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[Matches, Matches]:
    """Match a's descriptors to b's and to b's mirrored ones; for each the positions in a and in b."""
    if len(a) < 2 or len(b) < 2:  # noqa: PLR2004 - the test of ratios needs a second
        nothing = np.zeros(0, np.int64)
        return (nothing, nothing), (nothing, nothing)
    both = np.concatenate([b, mirror_descriptors(b)]).astype(np.float32) / DESCRIPTOR_SCALE
    similarity = (a.astype(np.float32) / DESCRIPTOR_SCALE) @ both.T
    return _ratio_test(similarity[:, : len(b)]), _ratio_test(similarity[:, len(b) :])


def _ratio_test(similarity: NDArray[np.float32]) -> Matches:
    rows = np.arange(len(similarity))
    nearest = similarity.argmax(1)
    first = similarity[rows, nearest]
    similarity[rows, nearest] = -1
    second = similarity.max(1)
    kept = np.flatnonzero(1 - first < RATIO**2 * (1 - second))  # squared distance of unit vectors: 2 - 2 cos
    return kept, nearest[kept]


def _fit(a: NDArray[np.float32], b: NDArray[np.float32], *, min_inliers: int) -> Alignment | None:
    """Fit a similarity by RANSAC, then an affine map to the matches near it."""
    rough, chosen = cv2.estimateAffinePartial2D(
        a, b, method=cv2.RANSAC, ransacReprojThreshold=SIMILARITY_TOLERANCE, maxIters=ITERATIONS, confidence=CONFIDENCE
    )
    if rough is None or _distinct(a, b, chosen.ravel() > 0) < min_inliers:
        return None
    near = np.flatnonzero(_errors(rough, a, b) < 2 * SIMILARITY_TOLERANCE)
    fine, _ = cv2.estimateAffine2D(
        a[near], b[near], None, cv2.RANSAC, AFFINE_TOLERANCE, maxIters=ITERATIONS, confidence=CONFIDENCE
    )
    counted = [
        (_distinct(a, b, _errors(matrix, a, b) < AFFINE_TOLERANCE), matrix)
        for matrix in (fine, rough)
        if matrix is not None and plausible(matrix) and np.linalg.det(matrix[:, :2]) > 0
    ]
    if not counted:
        return None
    inliers, matrix = max(counted, key=lambda item: item[0])
    return Alignment(np.vstack([matrix, [0, 0, 1]]), inliers) if inliers >= min_inliers else None


def _errors(matrix: NDArray[np.float64], a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.linalg.norm(a @ matrix[:, :2].T + matrix[:, 2] - b, axis=1)
    return distance


def _distinct(a: NDArray[np.float32], b: NDArray[np.float32], chosen: NDArray[np.bool_]) -> int:
    """Count matches that lie in cells of their own: one blob with five orientations is one witness."""
    if not chosen.any():
        return 0
    return min(len(np.unique(np.floor(points[chosen] / CELL), axis=0)) for points in (a, b))


def plausible(matrix: NDArray[np.float64]) -> bool:
    """Whether images are scaled and stretched so, by an affine map of 2 or 3 rows."""
    large, small = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    return bool(1 / MAX_SCALE < small <= large < MAX_SCALE and large < MAX_STRETCH * small)
