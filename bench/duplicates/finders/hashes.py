"""Perceptual hashes: those of the package imagehash, one orientation each, and ours over all eight."""

from __future__ import annotations

from functools import partial
from typing import Any

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from bench.duplicates.finders.ours import orientations
from bench.duplicates.finders.ranked import by_distance
from bench.duplicates.prepared import Prepared
from pipeline.core.engine import map_shards
from pipeline.core.shards import Pixels

HASHES = {"phash": imagehash.phash, "dhash": imagehash.dhash}
IMAGES_A_TASK = 200

Array = np.ndarray[Any, Any]


def rank(prepared: Prepared, *, name: str, side: int) -> pd.DataFrame:
    """Rank all pairs by the distance of their hashes, of side times side bits.

    The pictures are upright: what Exif says has been followed, which imagehash by itself leaves to its user.
    """
    pixels = prepared.prints.pixels
    tasks, label = pixels.pieces(IMAGES_A_TASK), f"imagehash {name} {side * side}"
    parts = map_shards(partial(hashed, name=name, side=side), tasks, label=label)
    keys = np.concatenate(list(parts))
    return by_distance(keys[:, None], keys)


def rank_orientations(prepared: Prepared) -> pd.DataFrame:
    """Rank all pairs by the distance of their 256-bit pHashes, the smallest over 8 orientations."""
    return by_distance(*orientations(prepared.prints))


def hashed(pixels: Pixels, *, name: str, side: int) -> Array:
    """Hash pictures: (images, side * side / 8) uint8."""
    bits = [HASHES[name](Image.fromarray(pixels[i]), hash_size=side).hash.ravel() for i in range(len(pixels))]
    return np.packbits(np.stack(bits), axis=1)
