"""Keypoints: SIFT of the contrast-equalised image, with RootSIFT descriptors (Lowe 2004, Arandjelovic 2012).

    root = sqrt(d / |d|_1),  so that the dot product of two is the Hellinger kernel of their histograms

The strongest come first, but no cell of a grid has more than its share among them, so that one contrasty spot, a label
say, does not take the place of the skin around it. Spread evenly they would find fewer second photographs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.preprocess import PreprocessedImage

MAX_KEYPOINTS = 400  # of an image; set by bench.duplicates
CONTRAST = 0.01  # SIFT's threshold, low: skin is smooth
DETECTED = 3  # times as many keypoints are detected as are taken, so that they can be spread
CELLS = 6  # a side of a grid
CELL_MAX_SHARE = 1 / 12  # of the keypoints: thrice what a cell would have if all had the same
DESCRIPTOR_SCALE = 512.0  # RootSIFT values are below 0.5 but for the odd one: one byte each


class Keypoints(NamedTuple):
    """Keypoints of one image, strongest first.

    points: (n, 4): x and y in working pixels, log2 of the size, angle in radians.
    descriptors: (n, 128), RootSIFT.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def detect_keypoints(image: PreprocessedImage, *, max_keypoints: int = MAX_KEYPOINTS) -> Keypoints:
    """Detect the keypoints of what nothing occludes, and describe them."""
    sift, clahe = _detectors(DETECTED * max_keypoints)
    equalised = clahe.apply(image.grey)
    detected = sift.detect(equalised, image.unoccluded)
    if not detected:
        return Keypoints(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))
    responses = np.array([(*k.pt, k.response) for k in detected], dtype=np.float32)
    order = _strongest(responses, equalised.shape, share=round(CELL_MAX_SHARE * max_keypoints))
    chosen = [detected[i] for i in order[:max_keypoints]]
    kept, descriptors = sift.compute(equalised, chosen)
    points = np.array([(*k.pt, np.log2(k.size), np.deg2rad(k.angle)) for k in kept], dtype=np.float32)
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return Keypoints(points, np.clip(np.rint(root * DESCRIPTOR_SCALE), 0, 255).astype(np.uint8))


def mirror_descriptors(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return those, (n, 128), of the mirrored image: the 4 by 4 cells upside down, the 8 directions negated."""
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return np.ascontiguousarray(cells[..., (-np.arange(8)) % 8]).reshape(-1, 128)


@lru_cache(maxsize=2)
def _detectors(max_keypoints: int) -> tuple[cv2.SIFT, cv2.CLAHE]:
    return cv2.SIFT.create(nfeatures=max_keypoints, contrastThreshold=CONTRAST), cv2.createCLAHE(3.0, (8, 8))


def _strongest(points: NDArray[np.float32], shape: tuple[int, ...], *, share: int) -> NDArray[np.int64]:
    """Order keypoints, rows of x, y and response: by response, those beyond their cell's share after all others."""
    cell = np.floor(points[:, :2] / (shape[1] + 1, shape[0] + 1) * CELLS).astype(np.int64) @ (1, CELLS)
    by_cell = np.lexsort([-points[:, 2], cell])
    place = np.empty(len(points), np.int64)
    place[by_cell] = np.arange(len(points)) - np.searchsorted(cell[by_cell], cell[by_cell])
    return np.lexsort([-points[:, 2], place >= share])
