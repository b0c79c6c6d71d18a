"""The dihedral views of an image, numbered once for hashes and geometry: its quarter turns, then its mirror's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNT = 8
IDENTITY = 0
MIRRORED = 4  # from here on


def orient(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Mirror left to right (4 to 7), then turn counter-clockwise by `orientation % 4` quarters; a view, not a copy."""
    view: NDArray[Any] = np.rot90(np.fliplr(image) if orientation >= MIRRORED else image, orientation % 4)
    return view


def matrix(orientation: int, *, width: int, height: int) -> NDArray[np.float64]:
    """Return the 2 by 3 matrix from pixels (x, y) of an image of this size to those of `orient(image, orientation)`."""
    result = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    if orientation >= MIRRORED:
        result = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    for _ in range(orientation % 4):
        result = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, width - 1.0], [0.0, 0.0, 1.0]]) @ result
        width, height = height, width
    return result[:2]
