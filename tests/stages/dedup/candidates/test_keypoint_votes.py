from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.arrays import SharedArrays
from pipeline.core.orientations import orient
from pipeline.stages.dedup.candidates import keypoint_votes
from pipeline.stages.dedup.candidates.keypoint_votes import voted_pairs
from pipeline.stages.dedup.features.keypoints import detect_keypoints
from pipeline.stages.dedup.features.preprocess import preprocess
from tests.drawn import lesion

CROPPED = 3


@pytest.fixture(scope="module")
def details() -> Mapping[str, NDArray[Any]]:
    """Those of 40 drawn lesions, then of turned and mirrored crops of the first CROPPED."""
    rng = np.random.default_rng(0)
    pictures = [lesion(seed) for seed in range(40)]
    for source in range(CROPPED):
        y, x = rng.integers(0, 45), rng.integers(0, 60)
        pictures.append(np.ascontiguousarray(orient(pictures[source][y : y + 105, x : x + 140], source + 4)))
    found = [detect_keypoints(preprocess(picture, side_pixels=300), max_keypoints=200) for picture in pictures]
    return {
        "points": np.concatenate([features.points for features in found]),
        "descriptors": np.concatenate([features.descriptors for features in found]),
        "owners": np.repeat(np.arange(len(found)), [len(features.points) for features in found]),
    }


def test_local_features_vote_for_turned_crops_among_many_others(details: Mapping[str, NDArray[Any]]) -> None:
    pairs = voted_pairs(details, keypoints=120, min_votes=12).tolist()
    assert [source for source in range(CROPPED) if [source, 40 + source] not in pairs] == []
    assert len(pairs) < 43 * 42 / 2 / 4  # few pictures get many chance votes


def test_shards_find_what_one_pass_finds_and_what_is_finished_is_kept(
    details: Mapping[str, NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = voted_pairs(details, keypoints=120, min_votes=8)
    monkeypatch.setattr(keypoint_votes, "SHARD", 10)
    shared = SharedArrays.write(tmp_path, [details])
    assert np.array_equal(voted_pairs(shared, keypoints=120, min_votes=8, scratch=tmp_path), whole)
    assert len(list(tmp_path.glob("keypoint votes-*.pkl"))) == 5
    (tmp_path / "keypoints.index").write_bytes(b"")  # nobody reads it again
    assert np.array_equal(voted_pairs(shared, keypoints=120, min_votes=8, scratch=tmp_path), whole)


def test_inverted_lists_find_the_crops_too(
    details: Mapping[str, NDArray[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keypoint_votes, "LISTS_PER_ROOT", 0.5)
    monkeypatch.setattr(keypoint_votes, "TRAINING_POINTS", 10)
    monkeypatch.setattr(keypoint_votes, "PROBES", 1)
    monkeypatch.setattr(keypoint_votes, "NEAREST", 80)  # more than one list holds: what is missing votes for nobody
    pairs = voted_pairs(details, keypoints=120, min_votes=12).tolist()
    assert [source for source in range(CROPPED) if [source, 40 + source] not in pairs] == []


def test_only_those_that_ask_find_their_like(details: Mapping[str, NDArray[Any]], tmp_path: Path) -> None:
    shared, crops = SharedArrays.write(tmp_path, [details]), np.arange(40, 40 + CROPPED)
    every = voted_pairs(details, keypoints=120, min_votes=12)
    nobody = voted_pairs(shared, keypoints=120, min_votes=12, scratch=tmp_path, asking=crops[:0])
    assert nobody.shape == (0, 2)
    asked = voted_pairs(shared, keypoints=120, min_votes=12, scratch=tmp_path, asking=crops)
    assert {tuple(pair) for pair in asked} <= {tuple(pair) for pair in every}
    assert [source for source in range(CROPPED) if [source, 40 + source] not in asked.tolist()] == []
    assert np.isin(asked, crops).any(axis=1).all()


def test_a_handful_of_details_is_no_evidence(details: Mapping[str, NDArray[Any]]) -> None:
    few = {name: array[:5] for name, array in details.items()}
    assert voted_pairs(few, keypoints=120, min_votes=1).shape == (0, 2)
