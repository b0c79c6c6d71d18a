from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.orientations import COUNT, orient
from pipeline.dedup.candidates import distances, merge, nearest_thumbnails, same_key
from pipeline.dedup.features import canonical, extract
from pipeline.dedup.votes import voted_pairs
from pipeline.dedup.whole import THUMBNAIL, turned
from tests.drawn import lesion

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


def test_local_features_vote_for_turned_crops_among_many_others() -> None:
    rng = np.random.default_rng(0)
    pictures = [lesion(seed) for seed in range(40)]
    planted = []
    for source in range(3):
        y, x = rng.integers(0, 45), rng.integers(0, 60)
        crop = np.ascontiguousarray(orient(pictures[source][y : y + 105, x : x + 140], source + 4))
        planted.append([source, len(pictures)])
        pictures.append(crop)
    found = [extract(canonical(picture, side_pixels=300), max_features=120) for picture in pictures]
    pairs = voted_pairs(
        np.concatenate([features.points for features in found]),
        np.concatenate([features.descriptors for features in found]),
        owners=np.repeat(np.arange(len(found)), [len(features.points) for features in found]),
        min_votes=12,
    )
    assert [pair for pair in planted if pair not in pairs.tolist()] == []
    assert len(pairs) < 43 * 42 / 2 / 4  # few pictures get many chance votes
