from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.stages.dedup.candidates.pairs import merge, same_key
from pipeline.stages.dedup.candidates.propose import nearest_thumbnails
from pipeline.stages.dedup.features.extract import THUMBNAIL, dihedral_views


def test_thumbnails_are_paired_in_any_orientation_and_blank_ones_never() -> None:
    rng = np.random.default_rng(0)
    tiny = rng.normal(size=(30, THUMBNAIL * THUMBNAIL)).astype(np.float32)
    tiny /= np.linalg.norm(tiny, axis=1, keepdims=True)
    tiny[[4, 9, 10]] = 0
    tiny[20] = dihedral_views(tiny[3][None])[0, 5]
    pairs = nearest_thumbnails(tiny, neighbours=1).tolist()
    assert [3, 20] in pairs
    assert not {4, 9, 10} & {position for pair in pairs for position in pair}


def test_images_of_one_lesion_are_paired_and_those_of_none_are_not() -> None:
    assert same_key(pd.Series(["x", None, "x", "y", None, "x"])).tolist() == [[0, 2], [0, 5], [2, 5]]
    assert same_key(pd.Series([None, None], dtype=object)).shape == (0, 2)


def test_a_pair_proposed_twice_is_one_row_that_names_both_sources() -> None:
    proposals = {"phash": np.array([[0, 1], [1, 2]]), "embedding": np.array([[0, 1]]), "lesion": np.zeros((0, 2), int)}
    frame = merge(proposals)
    assert frame[["a", "b"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert frame["proposed_by"].tolist() == [("embedding", "phash"), ("phash",)]
