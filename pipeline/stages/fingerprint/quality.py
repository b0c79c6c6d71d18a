"""Scores of what makes an image useless for learning; flags by thresholds, which may change while the scores stay.

Each is measured at a size of its own, so that scores of a thumbnail and of an image of 24 megapixels can be
compared, and that it is cheap: light on the square that the pHash compares too, sharpness on a working copy.
Sharpness is the variance of the Laplacian (Pech-Pacheco et al. 2000). What was tried and left is in decision 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.fingerprint.greys import LONGER_SIDE, Grey

LEVELS = 256
WHITE = LEVELS - 1
TAILS = (0.01, 0.99)  # between these shares of the pixels lies the range
DARK_LEVEL = 40  # grey levels, as in dedup's masks: this dark and connected to a corner is vignette or background
APERTURE = 3
APERTURE_GAIN = 4  # of a Laplacian of this aperture beside the plain one
REACHED = 2  # marks what is dark and connected to a corner, in an image of 0 and 1


@dataclass(frozen=True)
class Thresholds:
    """A flag is raised where a score, as the columns of Fingerprints, lies at its threshold or beyond.

    All were set on the planted defects of tests/stages/fingerprint/test_quality.py, except low_contrast_max_range,
    which is a param, since it depends on how a collection was lit.
    """

    low_contrast_max_range: float
    blank_max_std: float = 0.01
    dark_max_mean: float = 0.08
    bright_min_mean: float = 0.95
    blurred_max_sharpness: float = 4.0
    dark_corners_min_share: float = 0.01
    small_max_side_pixels: int = 64
    odd_min_aspect: float = 3.0


class Quality(NamedTuple):
    """Scores of one image, as the columns of Fingerprints."""

    mean: float
    std: float
    range: float
    sharpness: float
    dark_corners: float
    aspect: float


def measure(greys: Sequence[Grey], squares: NDArray[np.uint8]) -> list[Quality]:
    """Score images.

    Args:
        greys: the images.
        squares: (side, images, side), of `greys`: reduced to squares in which a hair or noise no longer shows.

    """
    images = range(squares.shape[1])
    counts = [cv2.calcHist([squares[:, i]], [0], None, [LEVELS], [0, LEVELS]).ravel() for i in images]
    mean, deviation, spread = _light(np.array(counts, np.float64))
    dark: NDArray[np.uint8] = (squares <= DARK_LEVEL).astype(np.uint8)
    has_dark_corner = dark[[0, 0, -1, -1], :, [0, -1, 0, -1]].max(0)
    return [
        Quality(
            mean=mean[i],
            std=deviation[i],
            range=spread[i],
            sharpness=_sharpness(_working_copy(grey.levels)),
            dark_corners=_dark_corners(dark[:, i]) if has_dark_corner[i] else 0.0,
            aspect=max(grey.height, grey.width) / min(grey.height, grey.width),
        )
        for i, grey in enumerate(greys)
    ]


def flags(quality: Quality, *, shorter_side: int, thresholds: Thresholds) -> list[str]:
    """Name what is wrong with an image, but not what follows: where there is no contrast, nothing is sharp.

    Args:
        quality: its scores.
        shorter_side: pixels.
        thresholds: of the flags.

    """
    blank = quality.std <= thresholds.blank_max_std
    dark = quality.mean <= thresholds.dark_max_mean
    flat = quality.range <= thresholds.low_contrast_max_range
    raised = {
        "blank": blank,
        "dark": dark,
        "bright": quality.mean >= thresholds.bright_min_mean,
        "blurred": not (blank or dark or flat) and quality.sharpness <= thresholds.blurred_max_sharpness,
        "low_contrast": not blank and flat,
        "dark_corners": not (blank or dark) and quality.dark_corners >= thresholds.dark_corners_min_share,
        "small": shorter_side <= thresholds.small_max_side_pixels,
        "odd_aspect": quality.aspect >= thresholds.odd_min_aspect,
    }
    return [name for name, is_raised in raised.items() if is_raised]


def _light(counts: NDArray[np.float64]) -> tuple[list[float], list[float], list[float]]:
    """Return mean, standard deviation and range from the (images, 256) numbers of pixels that have each level."""
    sizes, levels = counts.sum(1), np.arange(LEVELS, dtype=np.float64)
    mean = counts @ levels / sizes  # sums of whole numbers, which are the same in any order
    variance = counts @ levels**2 / sizes - mean**2
    shares = counts.cumsum(1) / sizes[:, None]
    low, high = ((shares < tail).sum(1) for tail in TAILS)
    return (mean / WHITE).tolist(), (np.sqrt(variance) / WHITE).tolist(), ((high - low) / WHITE).tolist()


def _working_copy(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average areas of a whole number of pixels, which is fast, and interpolate the rest of the way."""
    factor = min(max(grey.shape) // LONGER_SIDE, *grey.shape)
    if factor > 1:
        grey = _blocks(grey, factor)
    scale = LONGER_SIDE / max(grey.shape)
    if scale < 1:
        height, width = (max(1, round(length * scale)) for length in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    return grey


def _blocks(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Average squares of pixels; some pixels at the right and at the bottom may be left out."""
    height, width = (length // side for length in grey.shape)
    return np.asarray(cv2.resize(grey[: height * side, : width * side], (width, height), interpolation=cv2.INTER_AREA))


def _sharpness(grey: NDArray[np.uint8]) -> float:
    """Measure the variance of the Laplacian, on the 0 to 255 scale.

    OpenCV's aperture of 3 pixels compares diagonal neighbours. It is faster than the plain one, and less moved by the
    rounding of levels, which is all that the plain one sees in a blurred image.
    """
    laplacian = cv2.Laplacian(grey, cv2.CV_16S, ksize=APERTURE)
    mean = cv2.sumElems(laplacian)[0] / grey.size
    return float(cv2.norm(laplacian, cv2.NORM_L2SQR) / grey.size - mean**2) / APERTURE_GAIN**2


def _dark_corners(dark: NDArray[np.uint8]) -> float:
    """Share of the area that is dark and connected to a corner; `dark` is 1 where it is dark."""
    marked = np.ascontiguousarray(dark)
    height, width = marked.shape
    reached: int = 0
    for y, x in product((0, height - 1), (0, width - 1)):
        if marked[y, x] == 1:  # and no corner has reached it yet
            reached += cv2.floodFill(marked, None, (x, y), REACHED)[0]
    return float(reached / marked.size)
