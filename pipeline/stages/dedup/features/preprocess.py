"""Preprocessing: an image cropped, at one working size, denoised, without occlusions, so that all sizes behave alike.

What many unlike images share is left out before any feature is taken: what surrounds an image (see `borders`), which is
cropped, occlusions (see `occlusions`), which are filled, and the black corners of a dermatoscope's vignette, which are
masked. So is noise (see `denoise`), which hides what an image shares with its copy.

An image has one view of its full frame and, if cuts part it (see `panels`), one of each panel, so that none is too
small to be known.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.borders import Box, content_box, framed_box
from pipeline.stages.dedup.features.denoise import denoise
from pipeline.stages.dedup.features.occlusions import fill_occlusions
from pipeline.stages.dedup.features.panels import find_panels

SIDE_PIXELS = 300  # the longer side of the working size; set by bench.duplicates
CORNER_LEVELS = (40, 250)  # grey levels: this dark or this bright, and connected to a corner, is vignette or filling
CORNER_MAX_SHARE = 0.6  # an image that is so to a larger part is a dark or a bright image
MASK_EDGE = 7  # working pixels: the vignette's edge gives keypoints too
SAME_VIEW = 0.7  # intersection by union: a panel that is most of the full frame shows nothing else


class PreprocessedImage(NamedTuple):
    """An image at working size.

    grey: (height, width), without occlusions.
    mask: (height, width), 255 where the image is, 0 in a vignette.
    unoccluded: (height, width), 255 where the image is and nothing occluded it, else 0.
    to_working: 3 by 3, pixels of the original to working pixels.
    """

    grey: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    unoccluded: NDArray[np.uint8]
    to_working: NDArray[np.float64]


def preprocess(rgb: NDArray[np.uint8], *, side_pixels: int = SIDE_PIXELS, box: Box | None = None) -> PreprocessedImage:
    """Crop what surrounds the image, bring the longer side to `side_pixels`, take out noise and occlusions.

    Args:
        rgb: (height, width, 3).
        side_pixels: of the working size.
        box: the part of it that is the image; None: all.

    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    box = box or _full_frame(grey)
    return _preprocess(grey, box, _at_working_size(grey, box, side_pixels), side_pixels)


def views(rgb: NDArray[np.uint8], *, side_pixels: int = SIDE_PIXELS) -> list[tuple[Box, PreprocessedImage]]:
    """Preprocess an image's full frame, then each of its panels that shows something else, each with its box.

    Args:
        rgb: (height, width, 3).
        side_pixels: of the working size.

    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    full_frame = _full_frame(grey)
    resized = _at_working_size(grey, full_frame, side_pixels)
    seen = [(full_frame, _preprocess(grey, full_frame, resized, side_pixels))]
    for panel in find_panels(resized[0]):
        box = _in_file(full_frame, panel, resized[0].shape)
        view = _preprocess(grey, box, _at_working_size(grey, box, side_pixels), side_pixels)
        if all(_intersection_by_union(view, before) < SAME_VIEW for _, before in seen):
            seen.append((box, view))
    return seen


def _preprocess(
    grey: NDArray[np.uint8], box: Box, resized: tuple[NDArray[np.uint8], NDArray[np.float64]], side_pixels: int
) -> PreprocessedImage:
    """Go on from what `_at_working_size` makes of a box."""
    working, to_working = resized
    framed = framed_box(working)
    if framed != (0, 0, *working.shape[::-1]):
        box = _in_file(box, framed, working.shape)
        working, to_working = _at_working_size(grey, box, side_pixels)
    filled, occluded = fill_occlusions(working)
    content = content_box(filled)
    if content != (0, 0, *working.shape[::-1]):
        working, to_working = _at_working_size(grey, _in_file(box, content, working.shape), side_pixels)
        filled, occluded = fill_occlusions(working)
    mask = _image_mask(filled)
    return PreprocessedImage(filled, mask, mask & ~occluded, to_working)


def _full_frame(grey: NDArray[np.uint8]) -> Box:
    return 0, 0, grey.shape[1], grey.shape[0]


def _at_working_size(
    grey: NDArray[np.uint8], box: Box, side_pixels: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut a box out, without noise, and resize it; return it and the 3 by 3 map from the file's pixels to its."""
    left, top, right, bottom = box
    scale = side_pixels / max(right - left, bottom - top)
    width, height = (max(8, round(length * scale)) for length in (right - left, bottom - top))
    cut = grey[top:bottom, left:right]
    if scale < 1:  # what is averaged has less noise
        working = denoise(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))
    else:
        working = cv2.resize(denoise(cut), (width, height), interpolation=cv2.INTER_CUBIC)
    sx, sy = width / (right - left), height / (bottom - top)
    return working, np.array([[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5], [0, 0, 1]])


def _in_file(box: Box, inner: Box, shape: tuple[int, ...]) -> Box:
    """Return in pixels of the file the part of a box that `inner` is in pixels of its resized copy of this shape."""
    sx, sy = (box[2] - box[0]) / shape[1], (box[3] - box[1]) / shape[0]
    left, right = (round(box[0] + x * sx) for x in inner[::2])
    top, bottom = (round(box[1] + y * sy) for y in inner[1::2])
    return left, top, right, bottom


def _intersection_by_union(a: PreprocessedImage, b: PreprocessedImage) -> float:
    """Return by how much what two views of one file show overlaps."""
    (left, top, right, bottom), other = (_shown(view) for view in (a, b))
    width = min(right, other[2]) - max(left, other[0])
    height = min(bottom, other[3]) - max(top, other[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((right - left) * (bottom - top) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def _shown(view: PreprocessedImage) -> tuple[float, ...]:
    """Return the box of a view in pixels of the file, what was cropped left out."""
    height, width = view.grey.shape
    corners = np.array([[-0.5, -0.5, 1], [width - 0.5, height - 0.5, 1]]) @ np.linalg.inv(view.to_working).T
    return tuple(corners[:, :2].ravel().tolist())


def _image_mask(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mask the corners that a vignette, or the filling of a turned image, makes black or white: 255 is image."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 2)
    filling = np.zeros(grey.shape, np.uint8)
    for extreme in (smooth <= CORNER_LEVELS[0], smooth >= CORNER_LEVELS[1]):
        _, labels = cv2.connectedComponents(extreme.astype(np.uint8), connectivity=4)
        corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
        filling |= np.isin(labels, list(corners)).astype(np.uint8)
    if not filling.any() or filling.mean() > CORNER_MAX_SHARE:
        return np.full(grey.shape, 255, np.uint8)
    edge = np.ones((2 * MASK_EDGE + 1, 2 * MASK_EDGE + 1), np.uint8)
    kept: NDArray[np.uint8] = (1 - cv2.dilate(filling, edge)) * np.uint8(255)
    return kept
