"""What Pillow does to a picture before imagehash hashes it, in other operations that give the same bits faster.

imagehash is defined by Pillow's conversion to grey and its Lanczos resize, which together take longer than decoding the
file. Pillow computes them in integers: a pixel's channels or a row's levels times weights of 16 or 22 bits, summed,
rounded. Such sums fit float32 (grey) and float64 (resize) without rounding, so any order of adding gives Pillow's
result, and vector instructions and matrix products may do it. The tests compare with Pillow itself, level by level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

LUMA = np.array([[19595, 38470, 7471, 32768]], np.float32) / 65536  # of red, green and blue; a half, to round
LOBES = 3  # of the Lanczos kernel, on either side
WEIGHT_BITS = 22  # of a weight's fraction
LEVELS_MAX = 255
STRIP = 1 << 17  # numbers that are floats at a time: they stay in a processor's cache
BAND = 8  # places of a result, at most: as many as one instruction multiplies; OpenBLAS copies no strip for so few

Array = np.ndarray[Any, Any]


class Target(NamedTuple):
    """A size in pixels.

    transposed: as if pictures were transposed, resized to `height` by `width` and transposed back, which differs by
        rounding.
    """

    width: int
    height: int
    transposed: bool = False


class Band(NamedTuple):
    """Some places of a result's row, and the places of the source's row that they depend on.

    source: places.
    target: places.
    weights: (source places, target places) float64.
    """

    source: slice
    target: slice
    weights: Array


def to_grey(rgb: Array) -> Array:
    """Convert (height, width, 3) uint8 to (height, width) uint8, as `Image.convert("L")`: ITU-R 601-2 luma."""
    grey = np.empty(rgb.shape[:2], np.uint8)
    for strip in _strips(len(rgb), rgb[0].size):
        grey[strip] = cv2.transform(rgb[strip].astype(np.float32), LUMA)
    return grey


def resize(greys: Array, targets: Sequence[Target]) -> list[Array]:
    """Resize grey pictures as `Image.resize((width, height), Resampling.LANCZOS)`.

    Args:
        greys: (rows, images, columns), levels 0 to 255, uint8. In this order a row of pixels and a column of pixels of
            all pictures each lie in one matrix, and one product serves them all.
        targets: the sizes.

    Returns:
        of each target (height, images, width) uint8.

    """
    rows, images, columns = greys.shape
    rows_first = [_is_rows_first(rows, columns, target) for target in targets]
    halfway = [
        np.empty((target.height, images, columns) if is_rows else (rows, images, target.width), np.uint8)
        for target, is_rows in zip(targets, rows_first, strict=True)
    ]
    for chunk in _strips(images, rows * columns):
        levels = greys[:, chunk]
        levels = levels.astype(np.float64) if levels.size <= STRIP else levels  # once for all targets
        for target, is_rows, result in zip(targets, rows_first, halfway, strict=True):
            result[:, chunk] = _resize_rows(levels, target.height) if is_rows else _resize_columns(levels, target.width)
    return [
        _resize_columns(levels, target.width) if is_rows else _resize_rows(levels, target.height)
        for target, is_rows, levels in zip(targets, rows_first, halfway, strict=True)
    ]


def _is_rows_first(rows: int, columns: int, target: Target) -> bool:
    """Say whether Pillow (from 13 on, pull request 9549) resizes rows before columns."""
    fewer_rows, fewer_columns = rows - target.height, columns - target.width
    if target.transposed:
        return fewer_columns <= max(0, 2 * fewer_rows)
    return fewer_rows > max(0, 2 * fewer_columns)


def _resize_columns(levels: Array, width: int) -> Array:
    """Resize (rows, images, columns) to (rows, images, width) uint8."""
    flat = levels.reshape(-1, levels.shape[2])
    sums = np.empty((len(flat), width))
    for strip in _strips(*flat.shape):
        floats = flat[strip].astype(np.float64, copy=False)
        for band in _bands(levels.shape[2], width):
            np.matmul(floats[:, band.source], band.weights, out=sums[strip, band.target])
    return _levels(sums).reshape(*levels.shape[:2], width)


def _resize_rows(levels: Array, height: int) -> Array:
    """Resize (rows, images, columns) to (height, images, columns) uint8."""
    flat = levels.reshape(len(levels), -1)
    sums = np.empty((height, flat.shape[1]))
    for strip in _strips(flat.shape[1], len(flat)):
        floats = flat[:, strip].astype(np.float64, copy=False)
        for band in _bands(len(levels), height):
            np.matmul(band.weights.T, floats[band.source], out=sums[band.target, strip])
    return _levels(sums).reshape(height, *levels.shape[1:])


def _levels(sums: Array) -> Array:
    """Round to uint8; spoils its argument."""
    sums += 0.5
    levels = sums.astype(np.int16)  # cuts off towards zero, and what lies below zero becomes zero in any case
    return np.clip(levels, 0, LEVELS_MAX, out=levels).astype(np.uint8)


@lru_cache(maxsize=256)
def _bands(source: int, target: int) -> tuple[Band, ...]:
    """Compute the weights of `source` pixels in each of `target` ones: Lanczos, widened where the picture shrinks."""
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
