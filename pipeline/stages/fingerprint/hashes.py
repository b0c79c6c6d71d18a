"""Perceptual hash (pHash): the low frequencies of an image's cosine transform, each above or below their median.

    bit[i, j] = C[i, j] > median(C),  C = the lowest 16 by 16 coefficients of the DCT-II of the image at 64 by 64 pixels

in all eight orientations. It is the hash of the package imagehash on the same grey image, bit for bit, so others can
recompute it: of the image and of its mirror images (orientations 0, 2, 4 and 6). A quarter turn's hash comes from the
same transform by symmetry; imagehash would resize the turned image, whose rounding falls elsewhere: 2 of 256 bits
differ on average, and at most 16 in the tests. Which grey image it is, and what that does to the hash, says `greys`.
"""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fftpack

from pipeline.core.errors import UserError
from pipeline.stages.fingerprint.as_pillow import resize

SIDE = 16  # bits a side: 256 bits
DCT_SIDE = 64  # imagehash's highfreq_factor of 4
CHUNK = 32  # images whose coefficients stay in a processor's cache
TIE = 1e-6  # of coefficients up to 4e6: where the two around the median are closer, rounding decides on the bits

# Row k is the k-th cosine, so that `COSINES @ x` are the lowest coefficients of scipy.fftpack.dct(x).
COSINES = 2 * np.cos(np.pi / DCT_SIDE * np.arange(SIDE)[:, None] * (np.arange(DCT_SIDE) + 0.5))

# Signs of the coefficients of the image, and of it mirrored left to right, top to bottom, and both.
ODD = (-1.0) ** np.arange(SIDE)
ONES = np.ones(SIDE)
MIRRORS = np.stack([np.outer(y, x) for y, x in ((ONES, ONES), (ONES, ODD), (ODD, ONES), (ODD, ODD))])
# For each orientation the mirror image that it is, or 4 plus that one of which it is the transpose.
FROM_MIRRORS = [0, 5, 3, 6, 1, 4, 2, 7]


def shrink(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Resize images of one size, each (height, width), to the squares that are hashed: (64, images, 64)."""
    return resize(np.stack(greys, axis=1), width=DCT_SIDE, height=DCT_SIDE)


def perceptual_hashes(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hash the low frequencies, as `imagehash.phash(hash_size=16)`.

    A mirrored image's cosine transform is the image's with the odd frequencies negated, a transposed one's is
    transposed. The bits compare with a median over all coefficients, so they are taken anew in each mirror image.

    Args:
        squares: (64, images, 64), from `shrink`.

    Returns:
        (images, 8, 32), packed bits, orientation by orientation.

    """
    chunks = (slice(start, start + CHUNK) for start in range(0, squares.shape[1], CHUNK))
    return np.concatenate([_hash_chunk(squares[:, chunk]) for chunk in chunks])


def check_first(grey: NDArray[np.uint8], phash: NDArray[np.uint8]) -> None:
    """Hold one image's hash against imagehash itself, so that no other version of a library moves bits unnoticed.

    Args:
        grey: (height, width), the image.
        phash: (256,), its hash in eight orientations, of which the first is compared.

    Raises:
        UserError: they differ.

    """
    expected = imagehash.phash(Image.fromarray(grey), hash_size=SIDE).hash
    bits = int((np.unpackbits(phash[: SIDE * SIDE // 8]) != expected.ravel()).sum())
    if bits:
        raise UserError(
            f"the pHash of a batch's first image differs from imagehash's in {bits} of {SIDE * SIDE} bits: "
            "this environment's Pillow, SciPy or imagehash is not one that requirements.lock names; run `make`"
        )


def _hash_chunk(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    images = squares.shape[1]
    low = COSINES @ squares.reshape(DCT_SIDE, -1).astype(np.float64)
    low = (low.reshape(-1, DCT_SIDE) @ COSINES.T).reshape(SIDE, images, SIDE)
    low = np.ascontiguousarray(low.swapaxes(0, 1))
    bits, doubtful = _above_median(low)
    if doubtful.any():  # symmetric and plain images: the reference's own rounding decides
        exact = squares[:, doubtful].swapaxes(0, 1)
        low[doubtful] = fftpack.dct(fftpack.dct(exact, axis=1), axis=2)[:, :SIDE, :SIDE]
        bits[doubtful] = _above_median(low[doubtful])[0]
    upright, transposed = (np.packbits(view.reshape(images, 4, -1), axis=2) for view in (bits, bits.swapaxes(2, 3)))
    return np.concatenate([upright, transposed], axis=1)[:, FROM_MIRRORS]


def _above_median(low: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Compare the coefficients of each mirror image with their median; also say which images' bits rounding decides.

    Args:
        low: (images, 16, 16).

    Returns:
        (images, 4, 16, 16); (images,).

    """
    mirrored = (low[:, None] * MIRRORS).reshape(len(low), len(MIRRORS), -1)
    middle = mirrored.shape[2] // 2
    around = np.sort(mirrored, axis=2)[:, :, middle - 1 : middle + 1]  # numpy's median is the mean of these two
    bits = mirrored > around.mean(2, keepdims=True)
    doubtful: NDArray[np.bool_] = np.ptp(around, axis=2).min(1) < TIE
    return bits.reshape(len(low), len(MIRRORS), SIDE, SIDE), doubtful
