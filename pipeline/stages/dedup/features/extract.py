"""All features of all images, once: per view its keypoints, its size and a small square of it with its thumbnail.

A thumbnail without light and colour says how two images are turned towards each other, and which are alike in their
coarse structure; the square is what `verification.direct_alignment` aligns, kept so that nothing needs decoding again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.core.orientations import COUNT, orient
from pipeline.core.shards import Pixels
from pipeline.stages.dedup.features.denoise import band_pass
from pipeline.stages.dedup.features.keypoints import detect_keypoints
from pipeline.stages.dedup.features.preprocess import PreprocessedImage, views

IMAGES_A_TASK = 64
SQUARE_SIDE = 96  # pixels at which images are aligned directly
THUMBNAIL = 16  # pixels a side
THUMBNAIL_BAND = (0.35, 4.0)  # sigmas of its band-pass, in its pixels


def extract_features(pixels: Pixels, *, engine: Engine, scratch: Path) -> SharedArrays:
    """Extract the features of every image's views.

    Args:
        pixels: of all images.
        engine: where the work is done.
        scratch: for finished work, and what all workers read.

    Returns:
        points (keypoints, 4) float32 and descriptors (keypoints, 128) uint8 of all views, one view below the other;
        owners (keypoints,) the view's number; and of each view images (the image's number, ascending, its full frame
        first), boxes (left, top, right, bottom in pixels of the file), sizes (working width and height) and squares
        (see `square`).

    """
    tasks = list(zip(range(0, len(pixels), IMAGES_A_TASK), pixels.pieces(IMAGES_A_TASK), strict=True))
    parts = map_shards(_extract_task, tasks, label="extract features", engine=engine, scratch=scratch)
    return SharedArrays.write(scratch, _numbered(parts))


def square(image: PreprocessedImage) -> NDArray[np.uint8]:
    """Shrink an image to a square, (SQUARE_SIDE, SQUARE_SIDE)."""
    return np.asarray(cv2.resize(image.grey, (SQUARE_SIDE, SQUARE_SIDE), interpolation=cv2.INTER_AREA))


def thumbnails(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe images by their coarse structure, more by their middle than by their border.

    Args:
        squares: (n, SQUARE_SIDE, SQUARE_SIDE), from `square`.

    Returns:
        (n, 256) of unit norm, the rows of 16 by 16 pixels; zeros for a blank image.

    """
    window = np.hanning(THUMBNAIL + 2)[1:-1]
    weight = np.sqrt(np.outer(window, window)).astype(np.float32)
    tiny = np.zeros((len(squares), THUMBNAIL * THUMBNAIL), np.float32)
    for i, one in enumerate(squares):
        shrunk = cv2.resize(one, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        tiny[i] = (band_pass(shrunk, THUMBNAIL_BAND) * weight).ravel()
    norms = np.linalg.norm(tiny, axis=1, keepdims=True)
    return np.asarray(np.divide(tiny, norms, out=tiny, where=norms > 0))


def dihedral_views(tiny: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn and mirror thumbnails: (n, 256) to (n, 8, 256), orientation by orientation."""
    positions = np.arange(THUMBNAIL * THUMBNAIL).reshape(THUMBNAIL, THUMBNAIL)
    order = np.stack([orient(positions, orientation).ravel() for orientation in range(COUNT)])
    oriented: NDArray[np.float32] = tiny[:, order]
    return oriented


def _extract_task(task: tuple[int, Pixels]) -> dict[str, NDArray[Any]]:
    """Extract the features of some images, the number of the first and their pixels; views are counted from 0."""
    start, pixels = task
    taken = [
        (start + i, box, view.grey.shape[::-1], square(view), detect_keypoints(view))
        for i in range(len(pixels))
        for box, view in views(pixels[i])
    ]
    images, boxes, sizes, squares, keypoints = zip(*taken, strict=True)
    return {
        "points": np.concatenate([one.points for one in keypoints]),
        "descriptors": np.concatenate([one.descriptors for one in keypoints]),
        "owners": np.repeat(np.arange(len(taken)), [len(one.points) for one in keypoints]),
        "images": np.array(images, dtype=np.int64),
        "boxes": np.array(boxes, dtype=np.int64),
        "sizes": np.array(sizes, dtype=np.int64),
        "squares": np.stack(squares),
    }


def _numbered(parts: Iterable[dict[str, NDArray[Any]]]) -> Iterator[dict[str, NDArray[Any]]]:
    """Number the views through: a task counts its own from 0."""
    before = 0
    for part in parts:
        yield part | {"owners": part["owners"] + before}
        before += len(part["images"])
