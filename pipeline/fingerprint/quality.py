"""Scores of what makes a picture useless for learning; flags by thresholds, which may change while the scores stay."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from pipeline.fingerprint.params import QualityThresholds

SHARPNESS_SIDE = 256  # longer side at which sharpness is measured; smaller pictures are not enlarged
LEVELS = 255.0

Array = np.ndarray[Any, Any]


class Quality(NamedTuple):
    """Scores of one picture, as the columns of Fingerprints."""

    mean: float
    std: float
    range: float
    sharpness: float
    aspect: float


def measure(grey: Image.Image) -> Quality:
    """Score a picture of mode L."""
    counts = np.array(grey.histogram(), dtype=np.float64)
    shares = counts / counts.sum()
    levels = np.arange(256) / LEVELS
    mean = float(shares @ levels)
    low, high = np.searchsorted(np.cumsum(shares), [0.01, 0.99])
    return Quality(
        mean=mean,
        std=float(np.sqrt(shares @ (levels - mean) ** 2)),
        range=float(levels[min(high, 255)] - levels[low]),
        sharpness=_sharpness(np.asarray(grey)),
        aspect=max(grey.size) / min(grey.size),
    )


def flags(quality: Quality, *, shorter_side: int, thresholds: QualityThresholds) -> list[str]:
    """Name what is wrong with a picture; a blank one is not also called blurred and poor in contrast.

    Args:
        quality: its scores.
        shorter_side: pixels.
        thresholds: from params.

    """
    blank = quality.std <= thresholds.blank_max_std
    raised = {
        "blank": blank,
        "dark": quality.mean <= thresholds.dark_max_mean,
        "bright": quality.mean >= thresholds.bright_min_mean,
        "blurred": not blank and quality.sharpness <= thresholds.blurred_max_sharpness,
        "low_contrast": not blank and quality.range <= thresholds.low_contrast_max_range,
        "small": shorter_side <= thresholds.small_max_side_pixels,
        "odd_aspect": quality.aspect >= thresholds.odd_min_aspect,
    }
    return [name for name, is_raised in raised.items() if is_raised]


def _sharpness(grey: Array) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000), on the 0 to 255 scale, at the working size."""
    scale = SHARPNESS_SIDE / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
