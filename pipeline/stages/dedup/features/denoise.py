"""Denoising before anything is compared, by a median and a Gaussian, of images that are measurably noisy only.

    sigma = median |D * I| / (|D| 0.6745),  D the second differences in both directions (Immerkaer 1996)

Skin's own structures fill the band that tiles are compared in, and noise fills all bands alike, so a noisy copy agrees
with its original in no tile although every structure is there. An image that is not noisy stays as it is, bit by bit.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SECOND = np.array([[1.0, -2.0, 1.0]], np.float32)  # difference: blind to plains and slopes
IN_BOTH = SECOND.T @ SECOND  # blind to straight edges and stripes too
NORMAL_QUARTILE = 0.6745  # median of the absolute values of a normal distribution of standard deviation 1
NOISY = 3.0  # grey levels; among 1,100 dermoscopic and clinical photographs the 99th percentile is 1.1 and 2.7
STRIPED = 6.0  # grey levels; the 99th percentiles are 3.8 and 4.8
SMOOTHING = 1.0  # sigma in pixels


def noise_level(grey: NDArray[np.uint8]) -> float:
    """Estimate the standard deviation of white noise, in grey levels, of an image (height, width).

    By the median of the second differences, which hairs, letters and struck pixels do not move.
    """
    return _level(grey, IN_BOTH)


def stripe_level(grey: NDArray[np.uint8]) -> float:
    """Estimate what differs from pixel to pixel along rows or along columns, the larger of the two, in grey levels."""
    return max(_level(grey, SECOND), _level(grey, SECOND.T))


def denoise(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Filter grain by a median of 3 by 3 pixels and a Gaussian, stripes by the latter; else return the image as it is.

    Args:
        grey: (height, width).

    """
    noisy = noise_level(grey) >= NOISY
    if not noisy and stripe_level(grey) < STRIPED:
        return grey
    calm = cv2.medianBlur(np.ascontiguousarray(grey), 3) if noisy else grey
    return np.asarray(cv2.GaussianBlur(calm, (0, 0), SMOOTHING))


def band_pass(grey: NDArray[np.uint8], sigmas: tuple[float, float]) -> NDArray[np.float32]:
    """Subtract two Gaussians: keep the structures between two sizes, in pixels, of (height, width), without shading."""
    image = grey.astype(np.float32)
    band: NDArray[np.float32] = cv2.GaussianBlur(image, (0, 0), sigmas[0]) - cv2.GaussianBlur(image, (0, 0), sigmas[1])
    return band


def _level(grey: NDArray[np.uint8], differences: NDArray[np.float32]) -> float:
    """Return the standard deviation of white noise whose differences would have the image's median."""
    inner = cv2.filter2D(grey, cv2.CV_32F, differences)[1:-1:2, 1:-1]
    if not inner.size:
        return 0.0
    return float(np.median(np.abs(inner)) / np.linalg.norm(differences)) / NORMAL_QUARTILE
