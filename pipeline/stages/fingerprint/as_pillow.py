"""Pillow's grey (twice as fast here) and Lanczos resize (1.3 to 2 times), bit for bit, in other operations.

imagehash is defined by these two, which together take longer than decoding the file. Pillow computes them in integers:
a pixel's channels or a row's levels times weights of 16 or 22 bits, summed, rounded. Such sums fit float32 (grey) and
float64 (resize) without rounding, so any order of adding gives Pillow's result, and vector instructions and matrix
products may do it. The tests compare with Pillow itself, level by level.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

LUMA = np.array([[19595, 38470, 7471, 32768]], np.float32) / 65536  # of red, green and blue; a half, to round
LOBES = 3  # of the Lanczos kernel, on either side
WEIGHT_BITS = 22  # of a weight's fraction
LEVELS_MAX = 255
STRIP = 1 << 17  # numbers that are floats at a time: they stay in a processor's cache
BAND = 8  # places of a result, at most: as many as one instruction multiplies; OpenBLAS copies no strip for so few


class Band(NamedTuple):
    """Some places of a result's row, and the places of the source's row that they depend on.

    source: places.
    target: places.
    weights: (source places, target places) float64.
    """

    source: slice
    target: slice
    weights: NDArray[np.float64]


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert (height, width, 3) to (height, width), as `Image.convert("L")`: ITU-R 601-2 luma."""
    grey = np.empty(rgb.shape[:2], np.uint8)
    for strip in _strips(len(rgb), rgb[0].size):
        grey[strip] = cv2.transform(rgb[strip].astype(np.float32), LUMA)
    return grey


def resize(greys: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """Resize grey images as `Image.resize((width, height), Resampling.LANCZOS)`.

    Args:
        greys: (rows, images, columns), levels 0 to 255. In this order a row of pixels and a column of pixels of all
            images each lie in one matrix, and one product serves them all.
        width: pixels wanted.
        height: pixels wanted.

    Returns:
        (height, images, width).

    """
    rows, _, columns = greys.shape
    if rows - height > max(0, 2 * (columns - width)):  # the order of Pillow from 13 on (pull request 9549)
        return _resize_columns(_resize_rows(greys, height), width)
    return _resize_rows(_resize_columns(greys, width), height)


def _resize_columns(levels: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Resize (rows, images, columns) to (rows, images, width) uint8."""
    flat = levels.reshape(-1, levels.shape[2])
    sums = np.empty((len(flat), width))
    for strip in _strips(*flat.shape):
        floats = flat[strip].astype(np.float64)
        for band in _bands(levels.shape[2], width):
            np.matmul(floats[:, band.source], band.weights, out=sums[strip, band.target])
    return _levels(sums).reshape(*levels.shape[:2], width)


def _resize_rows(levels: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Resize (rows, images, columns) to (height, images, columns) uint8."""
    flat = levels.reshape(len(levels), -1)
    sums = np.empty((height, flat.shape[1]))
    for strip in _strips(flat.shape[1], len(flat)):
        floats = flat[:, strip].astype(np.float64)
        for band in _bands(len(levels), height):
            np.matmul(band.weights.T, floats[band.source], out=sums[band.target, strip])
    return _levels(sums).reshape(height, *levels.shape[1:])


def _levels(sums: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round to uint8; spoils its argument."""
    sums += 0.5
    levels = sums.astype(np.int16)  # cuts off towards zero, and what lies below zero becomes zero in any case
    return np.clip(levels, 0, LEVELS_MAX, out=levels).astype(np.uint8)


@lru_cache(maxsize=256)
def _bands(source: int, target: int) -> tuple[Band, ...]:
    """Compute the weights of `source` pixels in each of `target` ones: Lanczos, widened where the image shrinks."""
    scale = source / target
    widened = max(scale, 1.0)
    centres = (np.arange(target)[:, None] + 0.5) * scale
    first = np.maximum((centres - LOBES * widened + 0.5).astype(int), 0)
    end = np.minimum((centres + LOBES * widened + 0.5).astype(int), source)
    places = first + np.arange((end - first).max())
    at = (places - centres + 0.5) / widened
    weights = np.where((places < end) & (np.abs(at) < LOBES), np.sinc(at) * np.sinc(at / LOBES), 0.0)
    weights = np.ldexp(weights / weights.sum(1, keepdims=True), WEIGHT_BITS)
    weights = np.ldexp(np.trunc(weights + np.copysign(0.5, weights)), -WEIGHT_BITS)
    bands, size = [], -(-target // -(-target // BAND))  # as equal as can be
    for chosen in (slice(start, min(start + size, target)) for start in range(0, target, size)):
        low, high = int(first[chosen].min()), int(end[chosen].max())
        matrix = np.zeros((high - low, chosen.stop - chosen.start))
        row, tap = np.nonzero(weights[chosen])
        matrix[places[chosen][row, tap] - low, row] = weights[chosen][row, tap]
        bands.append(Band(slice(low, high), chosen, matrix))
    return tuple(bands)


def _strips(length: int, across: int) -> Iterator[slice]:
    step = max(1, STRIP // across)
    return (slice(start, start + step) for start in range(0, length, step))
