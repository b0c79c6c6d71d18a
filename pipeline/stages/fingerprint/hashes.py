"""Hashes that propose duplicates: two of a picture's look, in all eight orientations.

They are those of the package imagehash on the same grey picture, bit for bit (tests say so, on real images too), so
others can recompute them: the dHash of every orientation, and the pHash of the picture and of its mirror images
(orientations 0, 2, 4 and 6). A quarter turn's pHash comes from the same cosine transform by symmetry; imagehash would
resize the turned picture, whose rounding falls elsewhere: 2 of 256 bits differ on average, and at most 16 in the tests.
Which grey picture it is, and what that does to the hashes, says `greys`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import fftpack

from pipeline.core.orientations import COUNT, orient
from pipeline.stages.fingerprint.as_pillow import Target, resize

SIDE = 16  # bits a side: 256 bits
DCT_SIDE = 64  # imagehash's highfreq_factor of 4
CHUNK = 32  # pictures whose coefficients stay in a processor's cache
TIE = 1e-6  # of coefficients up to 4e6: where the two around the median are closer, rounding decides on the bits

# Row k is the k-th cosine, so that `COSINES @ x` are the lowest coefficients of scipy.fftpack.dct(x).
COSINES = 2 * np.cos(np.pi / DCT_SIDE * np.arange(SIDE)[:, None] * (np.arange(DCT_SIDE) + 0.5))

# Signs of the coefficients of the picture, and of it mirrored left to right, top to bottom, and both.
ODD = (-1.0) ** np.arange(SIDE)
ONES = np.ones(SIDE)
MIRRORS = np.stack([np.outer(y, x) for y, x in ((ONES, ONES), (ONES, ODD), (ODD, ONES), (ODD, ODD))])
# For each orientation the mirror image that it is, or 4 plus that one of which it is the transpose.
TURNED = [0, 5, 3, 6, 1, 4, 2, 7]

Array = np.ndarray[Any, Any]


class Thumbnails(NamedTuple):
    """Pictures at the sizes that their hashes compare, uint8, in the order that `as_pillow.resize` explains.

    square: (64, images, 64).
    upright: (16, images, 17).
    lying: (17, images, 16), resized as if the pictures were transposed.
    """

    square: Array
    upright: Array
    lying: Array


def shrink(greys: Sequence[Array]) -> Thumbnails:
    """Resize pictures of one size, each (height, width) uint8, for their hashes."""
    square, upright, lying = Target(DCT_SIDE, DCT_SIDE), Target(SIDE + 1, SIDE), Target(SIDE, SIDE + 1, transposed=True)
    return Thumbnails(*resize(np.stack(greys, axis=1), [square, upright, lying]))


def join(parts: Sequence[Thumbnails]) -> Thumbnails:
    """Put thumbnails of several lots of pictures together."""
    return Thumbnails(*(np.concatenate(size, axis=1) for size in zip(*parts, strict=True)))


def perceptual_hashes(thumbnails: Thumbnails) -> Array:
    """Hash the low frequencies, as `imagehash.phash(hash_size=16)`.

    A mirrored picture's cosine transform is the picture's with the odd frequencies negated, a transposed one's is
    transposed. The bits compare with a median over all coefficients, so they are taken anew in each mirror image.

    Returns:
        (images, 8, 32) uint8, packed bits, orientation by orientation.

    """
    images = thumbnails.square.shape[1]
    chunks = (slice(start, start + CHUNK) for start in range(0, images, CHUNK))
    return np.concatenate([_perceptual(thumbnails.square[:, chunk]) for chunk in chunks])


def _perceptual(squares: Array) -> Array:
    images = squares.shape[1]
    low = COSINES @ squares.reshape(DCT_SIDE, -1).astype(np.float64)
    low = (low.reshape(-1, DCT_SIDE) @ COSINES.T).reshape(SIDE, images, SIDE)
    low = np.ascontiguousarray(low.swapaxes(0, 1))
    bits, doubtful = _above_median(low)
    if doubtful.any():  # symmetric and plain pictures: the reference's own rounding decides
        exact = squares[:, doubtful].swapaxes(0, 1)
        low[doubtful] = fftpack.dct(fftpack.dct(exact, axis=1), axis=2)[:, :SIDE, :SIDE]
        bits[doubtful] = _above_median(low[doubtful])[0]
    upright, transposed = (np.packbits(turned.reshape(images, 4, -1), axis=2) for turned in (bits, bits.swapaxes(2, 3)))
    return np.concatenate([upright, transposed], axis=1)[:, TURNED]


def difference_hashes(thumbnails: Thumbnails) -> Array:
    """Hash the signs of horizontal differences, as `imagehash.dhash(hash_size=16)`; the result is as above."""
    upright, lying = (np.ascontiguousarray(size.swapaxes(0, 1)) for size in (thumbnails.upright, thumbnails.lying))
    bits = np.empty((len(upright), COUNT, SIDE, SIDE), bool)
    for orientation in range(COUNT):
        levels = orient(np.moveaxis(lying if orientation % 2 else upright, 0, 2), orientation)
        np.greater(levels[:, 1:], levels[:, :-1], out=np.moveaxis(bits[:, orientation], 0, 2))
    return np.packbits(bits.reshape(len(upright), COUNT, -1), axis=2)


def _above_median(low: Array) -> tuple[Array, Array]:
    """Compare the coefficients of each mirror image with their median; also say which images' bits rounding decides.

    Args:
        low: (images, 16, 16) float64.

    Returns:
        (images, 4, 16, 16) bool; (images,) bool.

    """
    mirrored = (low[:, None] * MIRRORS).reshape(len(low), len(MIRRORS), -1)
    middle = mirrored.shape[2] // 2
    around = np.sort(mirrored, axis=2)[:, :, middle - 1 : middle + 1]  # numpy's median is the mean of these two
    bits = mirrored > around.mean(2, keepdims=True)
    doubtful: Array = np.ptp(around, axis=2).min(1) < TIE
    return bits.reshape(len(low), len(MIRRORS), SIDE, SIDE), doubtful
