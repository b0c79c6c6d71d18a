from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.core.grouping import SPLITS
from pipeline.stages.dedup.edges import all_edges
from pipeline.stages.dedup.groups import cover, group_images, keeper_ranks, representatives, twin_keys
from pipeline.stages.dedup.params import Split

SPLIT = Split(salt="s", validation_share=0.2, test_share=0.3)


def table(count: int, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "image_id": [f"b:{i:04d}" for i in range(count)],
            "sha256": [f"s{i}" for i in range(count)],
            "label_evidence": None,
            "lesion_id": None,
            "patient_id": None,
            "width": 200,
            "height": 150,
        }
    )
    return frame.assign(**columns)


def proven(*pairs: tuple[int, int], relation: str = "copy") -> tuple[pd.DataFrame, NDArray[np.float32]]:
    frame = pd.DataFrame(pairs, columns=["a", "b"]).astype("int64")
    frame = frame.assign(
        relation=relation,
        overlap=1.0,
        correlation=0.9,
        residual=2.0,
        bending=0.0,
        shared_occlusions=0.9,
        inliers=50,
    )
    frame["proposed_by"] = [("phash",)] * len(pairs)
    return frame, np.tile(np.array([2, 0, 5, 0, 2, 7, 0, 0, 1], np.float32), (len(pairs), 1))


def test_the_keeper_has_the_better_evidence_then_more_pixels_then_fewer_flags_then_the_smaller_name() -> None:
    images = table(
        6,
        label_evidence=["consensus", "histopathology", "consensus", None, "an opinion", "consensus"],
        width=[200, 100, 400, 900, 900, 200],
    )
    flags = pd.Series([["dark"], [], [], [], [], []])
    assert np.argsort(keeper_ranks(images, flags)).tolist() == [1, 2, 5, 0, 4, 3]
    assert keeper_ranks(table(3), pd.Series([[], [], []])).tolist() == [0, 1, 2]


def test_identical_images_are_represented_by_the_keeper_among_them() -> None:
    assert representatives(pd.Series(["x", "y", "x", "x"]), np.array([3, 2, 0, 1])).tolist() == [2, 1, 2, 2]


def test_a_chain_of_copies_removes_only_what_has_a_proof_against_the_kept_image() -> None:
    kept = cover(np.array([[0, 1], [1, 2], [2, 3]]), np.arange(4))
    assert kept.tolist() == [0, 0, 2, 2]


def test_a_copy_of_two_kept_images_is_the_better_ones_duplicate() -> None:
    assert cover(np.array([[0, 2], [1, 2]]), np.array([1, 0, 2])).tolist() == [0, 1, 1]


@pytest.mark.parametrize("seed", range(20))
def test_every_removed_image_has_a_direct_edge_to_a_kept_and_better_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranks = rng.permutation(40)
    edges = rng.integers(40, size=(60, 2))
    kept = cover(edges, ranks)
    direct = {frozenset(edge) for edge in edges.tolist()}
    for image in np.flatnonzero(kept != np.arange(40)):
        keeper = kept[image]
        assert kept[keeper] == keeper
        assert ranks[keeper] < ranks[image]
        assert frozenset((int(image), int(keeper))) in direct
    for a, b in edges.tolist():
        assert a == b or kept[a] != a or kept[b] != b, "two kept images are copies of each other"


def test_a_thousand_identical_images_cost_a_thousand_edges_each_to_the_kept_one() -> None:
    images = table(1001, sha256=["same"] * 500 + [f"s{i}" for i in range(500)] + ["other"])
    pixels = pd.Series(["same pixels"] * 1000 + ["other"])
    ranks = np.arange(1001)[::-1].copy()  # the other image, of a better quality, is proven to be the original
    represented_by = representatives(pixels, ranks)
    found, matrices = proven((999, 1000))
    kept = cover(found[["a", "b"]].to_numpy(), ranks)[represented_by]
    edges, transforms = all_edges(images, found, matrices, represented_by=represented_by, kept=kept)
    groups = group_images(images, edges, kept, SPLIT)
    assert len(edges) == len(transforms) == 999 + 1 + 999
    assert set(groups["duplicate_of"].dropna()) == {"b:1000"}
    assert groups["duplicate_of"].notna().sum() == 1000
    assert groups["group_id"].unique().tolist() == ["b:0000"]
    expect_lawful(edges, groups)
    assert edges["evidence"].value_counts().to_dict() == {"geometry": 1000, "pixels": 999}


def test_equal_bytes_are_named_as_such() -> None:
    images = table(3, sha256=["x", "x", "y"])
    represented_by = np.array([0, 0, 0])
    found, matrices = proven()
    edges, transforms = all_edges(images, found, matrices, represented_by=represented_by, kept=represented_by)
    assert edges[["a", "b", "evidence", "relation"]].to_numpy().tolist() == [
        ["b:0000", "b:0001", "bytes", "copy"],
        ["b:0000", "b:0002", "pixels", "copy"],
    ]
    assert transforms.tolist() == [[1, 0, 0, 0, 1, 0, 0, 0, 1]] * 2


def test_a_twin_on_the_other_side_of_the_keeper_inherits_the_inverse_transform() -> None:
    images = table(3)
    represented_by = np.array([0, 1, 0])  # 2 has the pixels of 0, and 0 is a copy of the kept image 1
    found, matrices = proven((0, 1))
    edges, transforms = all_edges(images, found, matrices, represented_by=represented_by, kept=np.array([1, 1, 1]))
    place = edges[["a", "b"]].to_numpy().tolist().index(["b:0001", "b:0002"])
    assert transforms[place].reshape(3, 3) == pytest.approx(np.linalg.inv(matrices[0].reshape(3, 3)))


def test_groups_join_over_patient_lesion_and_verified_pairs_and_only_copies_are_removed() -> None:
    images = table(
        7, lesion_id=["l", "l", None, None, None, None, None], patient_id=[None, "p", "p", None, *[None] * 3]
    )
    found, matrices = proven((2, 3), relation="same_lesion")
    edges, _ = all_edges(images, found, matrices, represented_by=np.arange(7), kept=np.arange(7))
    groups = group_images(images, edges, np.arange(7), SPLIT)
    assert groups["group_id"].tolist() == ["b:0000"] * 4 + ["b:0004", "b:0005", "b:0006"]
    assert groups["duplicate_of"].isna().all()


def test_an_image_that_is_added_never_moves_another_to_a_less_protected_split() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lesions = [None if rng.random() < 0.5 else f"l{rng.integers(20)}" for _ in range(50)]
        names = rng.permutation(50)
        images = table(50, lesion_id=lesions, image_id=[f"b:{i:04d}" for i in names]).sort_values("image_id")
        edges = pd.DataFrame(rng.choice(images["image_id"], size=(20, 2)), columns=["a", "b"])
        old = images[rng.random(50) < 0.6]
        few = edges[edges["a"].isin(old["image_id"]) & edges["b"].isin(old["image_id"])]
        before = group_images(old, few, np.arange(len(old)), SPLIT)
        after = group_images(images, edges, np.arange(50), SPLIT)
        splits = dict(zip(after["image_id"], after["split"], strict=True))
        for name, split in zip(before["image_id"], before["split"], strict=True):
            assert SPLITS.index(splits[name]) >= SPLITS.index(split)


def expect_lawful(edges: pd.DataFrame, groups: pd.DataFrame) -> None:
    """Hold Duplicates and Groups to what the architecture promises."""
    assert (edges["a"] < edges["b"]).all()
    assert not edges.duplicated(["a", "b"]).any()
    removed = groups.dropna(subset="duplicate_of")
    assert set(removed["duplicate_of"]) <= set(groups.loc[groups["duplicate_of"].isna(), "image_id"])
    copies = edges[edges["relation"] == "copy"]
    direct = {frozenset(pair) for pair in zip(copies["a"], copies["b"], strict=True)}
    assert all(frozenset(pair) in direct for pair in zip(removed["image_id"], removed["duplicate_of"], strict=True))
    assert len(groups[["group_id", "split"]].drop_duplicates()) == len(groups["group_id"].unique())
    group_of = groups.set_index("image_id")["group_id"]
    assert all(group_of[a] == group_of[b] for a, b in zip(edges["a"], edges["b"], strict=True))


def test_pictures_that_show_nothing_are_one_by_their_bytes_only() -> None:
    frame = pd.DataFrame({"sha256": ["a", "b", "b", "c", "d"], "pixel_sha256": ["white", "white", "white", "x", "x"]})
    flags = pd.Series([["blank"], ["blank", "small"], ["blank"], ["small"], []])
    represented_by = representatives(twin_keys(frame, flags), np.arange(5))
    assert represented_by.tolist() == [0, 1, 1, 3, 3]
