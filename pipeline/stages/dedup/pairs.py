"""Pairs of images as arrays of their positions."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def distinct(pairs: Array) -> Array:
    """Order every pair, (pairs, 2) positions, and the pairs; drop repeats and pairs of an image with itself."""
    ordered = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1).astype(np.int64)
    codes = np.sort(ordered[:, 0] << 32 | ordered[:, 1])  # one number a pair sorts many times faster than a row
    codes = codes[np.diff(codes, prepend=-1) != 0]
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1)
