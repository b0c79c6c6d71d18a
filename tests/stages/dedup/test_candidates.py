from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.orientations import COUNT
from pipeline.stages.dedup.candidates import distances, merge, nearest_thumbnails, same_key
from pipeline.stages.dedup.whole import THUMBNAIL, turned

Array = np.ndarray[Any, Any]


def hashes(count: int) -> Array:
    """Random hashes, every third in one of its orientations near the one before it."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (count, COUNT, 256), dtype=np.uint8)
    for i in range(2, count, 3):
        flipped = rng.permutation(256)[: rng.integers(10, 60)]
        orientation = rng.integers(COUNT)
        bits[i, orientation] = bits[i - 1, 0]
        bits[i, orientation, flipped] ^= 1
    return np.packbits(bits, axis=2).reshape(count, -1)


def test_distances_are_those_of_the_nearest_orientation() -> None:
    phash = hashes(6)
    bits = np.unpackbits(phash, axis=1).reshape(6, COUNT, 256).astype(int)
    expected = [np.abs(bits[a, 0] - bits[b]).sum(1).min() for a, b in [(0, 1), (1, 2), (4, 5)]]
    assert distances(phash, np.array([[0, 1], [1, 2], [4, 5]])).tolist() == expected


def test_thumbnails_are_paired_in_any_orientation_and_blank_ones_never() -> None:
    rng = np.random.default_rng(0)
    tiny = rng.normal(size=(30, THUMBNAIL * THUMBNAIL)).astype(np.float32)
    tiny /= np.linalg.norm(tiny, axis=1, keepdims=True)
    tiny[[4, 9, 10]] = 0
    tiny[20] = turned(tiny[3][None])[0, 5]
    pairs = nearest_thumbnails(tiny, neighbours=1).tolist()
    assert [3, 20] in pairs
    assert not {4, 9, 10} & {position for pair in pairs for position in pair}


def test_images_of_one_lesion_are_paired_and_those_of_none_are_not() -> None:
    assert same_key(pd.Series(["x", None, "x", "y", None, "x"])).tolist() == [[0, 2], [0, 5], [2, 5]]
    assert same_key(pd.Series([None, None], dtype=object)).shape == (0, 2)


def test_a_pair_proposed_twice_is_one_row_that_names_both_sources() -> None:
    proposals = {"phash": np.array([[0, 1], [1, 2]]), "embedding": np.array([[0, 1]]), "lesion": np.zeros((0, 2), int)}
    frame = merge(proposals, hashes(3))
    assert frame[["a", "b"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert frame["proposed_by"].tolist() == [("embedding", "phash"), ("phash",)]
    assert frame["distance_bits"].iloc[1] < 60
