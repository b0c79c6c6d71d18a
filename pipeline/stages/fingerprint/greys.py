"""Decodes of a JPEG its luma alone, no larger than is measured: 2 to 3 times as fast as the full decode and its grey.

A JPEG stores luma apart from colour, in a form from which libjpeg makes a half, a quarter or an eighth of the size in
less time than the whole. So of a JPEG only the luma is decoded, at the smallest of these sizes that holds all that is
measured. Pillow does the same after `Image.draft("L", …)`, so others can repeat our hashes, as the tests do. Any other
format is decoded in full and converted as by Pillow. What this moves in a hash and why that is borne, says decision 7.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.shards import JPEG, decode
from pipeline.stages.fingerprint.as_pillow import to_grey

LONGER_SIDE = 256  # pixels that a reduced image keeps: those of the working copy on which sharpness is measured
SHORTER_SIDE = 64  # likewise: those that the pHash compares
REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # of the JPEG segments that state height and width


class Grey(NamedTuple):
    """An image's luma, perhaps reduced.

    levels: (rows, columns).
    height: pixels of the image in full.
    width: pixels of the image in full.
    """

    levels: NDArray[np.uint8]
    height: int
    width: int


def read_grey(content: bytes) -> Grey:
    """Decode a stored image as far as fingerprints need it."""
    size = _jpeg_size(content) if content.startswith(JPEG) else None
    if size:
        by = reduction(*size)
        flags = REDUCED[by] | cv2.IMREAD_IGNORE_ORIENTATION
        levels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if levels is not None and levels.shape == (-(-size[0] // by), -(-size[1] // by)):
            return Grey(levels, *size)
    return unreduced(to_grey(decode(content)))


def unreduced(levels: NDArray[np.uint8]) -> Grey:
    """Take a grey image, (height, width), as it is."""
    return Grey(levels, *levels.shape)


def reduction(height: int, width: int) -> int:
    """Say by what the sides of a JPEG are divided: 8, 4, 2 or 1."""
    most = min(max(height, width) // LONGER_SIDE, min(height, width) // SHORTER_SIDE)
    return next((by for by in REDUCED if by <= most), 1)


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Find a JPEG's height and width; None where its segments do not lead to them."""
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:  # noqa: PLR2004 - a marker begins
        if content[position + 1] in FRAME_MARKERS:
            height, width = content[position + 5 : position + 7], content[position + 7 : position + 9]
            return int.from_bytes(height), int.from_bytes(width)
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
    return None
