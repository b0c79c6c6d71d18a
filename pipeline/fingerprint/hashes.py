"""Hashes that propose duplicates: of the exact pixels, and two of their look in all eight orientations.

The look hashes are those of the package imagehash, bit for bit in the picture's own orientation (a test says so), so
others can recompute them. For the other seven its own calls would resize the picture eight times; the symmetries of the
cosine transform and of the resized picture give them from one or two resizes, up to rounding (the test states how far).
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from PIL import Image
from scipy import fftpack

from pipeline.core.orientations import COUNT, MIRRORED, orient

SIDE = 16  # bits a side: 256 bits
DCT_SIDE = 64  # imagehash's highfreq_factor of 4

Array = np.ndarray[Any, Any]


def pixel_digest(rgb: Array) -> str:
    """Hash the decoded pixels: sha256 of height, width and the bytes of a (height, width, 3) uint8 array, in hex."""
    height, width = rgb.shape[:2]
    digest = hashlib.sha256(height.to_bytes(4, "big") + width.to_bytes(4, "big"))
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def perceptual_hashes(grey: Image.Image) -> Array:
    """Hash the low frequencies, as `imagehash.phash(hash_size=16)`.

    A mirrored picture's cosine transform is the picture's with the odd frequencies negated, a transposed one's is
    transposed. The bits compare with a median over all coefficients, so they are taken anew in each orientation.

    Args:
        grey: of mode L.

    Returns:
        (8, 32) uint8, packed bits, orientation by orientation.

    """
    pixels = np.asarray(grey.resize((DCT_SIDE, DCT_SIDE), Image.Resampling.LANCZOS))
    low = fftpack.dct(fftpack.dct(pixels, axis=0), axis=1)[:SIDE, :SIDE]
    sign = (-1.0) ** np.arange(SIDE)
    turned = []
    for orientation in range(COUNT):
        image = low * sign if orientation >= MIRRORED else low
        for _ in range(orientation % 4):  # a quarter turn: transpose, then flip top to bottom
            image = image.T * sign[:, None]
        turned.append(image)
    stacked = np.stack(turned).reshape(COUNT, -1)
    return np.packbits(stacked > np.median(stacked, axis=1, keepdims=True), axis=1)


def difference_hashes(grey: Image.Image) -> Array:
    """Hash the signs of horizontal differences, as `imagehash.dhash(hash_size=16)`; arguments and result as above."""
    upright = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.LANCZOS))
    lying = np.asarray(grey.resize((SIDE, SIDE + 1), Image.Resampling.LANCZOS))
    turned = np.stack([orient(lying if orientation % 2 else upright, orientation) for orientation in range(COUNT)])
    return np.packbits((turned[:, :, 1:] > turned[:, :, :-1]).reshape(COUNT, -1), axis=1)
