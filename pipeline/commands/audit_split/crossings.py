"""Which pairs, lesions and patients lie on both sides of a split, and what share of its images they spoil."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, Literal, NamedTuple

import pandas as pd

from pipeline.core.grouping import components, links

COLUMNS = ("a", "b", "split_a", "split_b", "relation", "evidence", "correlation", "inliers")
RELATIONS = ("copy", "same_lesion", "same_patient")  # the worst first


class Bond(NamedTuple):
    """What the images of one lesion or one patient share.

    evidence: `lesion_id` or `patient_id`.
    ids: by image; missing where the source does not say.
    """

    evidence: Literal["lesion_id", "patient_id"]
    ids: pd.Series[Any]


def bonds_of(frame: pd.DataFrame) -> list[Bond]:
    """Return the bonds that a frame's columns lesion_id and patient_id tell, by its index."""
    return [Bond("lesion_id", frame["lesion_id"]), Bond("patient_id", frame["patient_id"])]


def crossings(splits: pd.Series[str], edges: pd.DataFrame, bonds: Sequence[Bond]) -> pd.DataFrame:
    """List pairs of images that must not be parted, and are.

    Args:
        splits: split by image.
        edges: a, b, relation, evidence, correlation, inliers of proven pairs, also of images that are in no split.
        bonds: lesions and patients as sources name them. Each image is paired with the first image of its lesion (or
            patient) in every other split, where nothing before says the same already.

    Returns:
        COLUMNS; copies first, then lesions, then patients, by name.

    """
    inside = edges["a"].isin(splits.index) & edges["b"].isin(splits.index)
    proven = edges.loc[inside, ["a", "b", "relation", "evidence", "correlation", "inliers"]]
    named = [_bound_pairs(splits, bond) for bond in sorted(bonds, key=lambda bond: bond.evidence)]
    listed = pd.concat([part for part in (proven, *named) if len(part)] or [proven], ignore_index=True)
    listed = listed.drop_duplicates(["a", "b"])
    listed = listed.assign(split_a=listed["a"].map(splits), split_b=listed["b"].map(splits))
    listed = listed[listed["split_a"] != listed["split_b"]]
    order = listed["relation"].map({relation: i for i, relation in enumerate(RELATIONS)})
    return listed.assign(order=order).sort_values(["order", "a", "b"], ignore_index=True)[list(COLUMNS)]


def shared(splits: pd.Series[str], edges: pd.DataFrame, bonds: Sequence[Bond]) -> pd.DataFrame:
    """Count the images of each split that show what an image of another split shows.

    They need not be a pair of `crossings`: a copy's copy counts, by connected components over edges and bonds.
    Arguments as for `crossings`.

    Returns:
        split, other, images, share (of the split's images); for every ordered pair of splits.

    """
    names = sorted({*splits.index, *edges["a"], *edges["b"]})
    tied = list(zip(edges["a"], edges["b"], strict=True))
    for bond in bonds:
        tied += links(names, bond.ids.reindex(names).tolist())
    groups = pd.Series(components(names, tied), index=names).reindex(splits.index)
    seen = {split: set(groups[splits == split]) for split in sorted(splits.unique())}
    sizes = splits.value_counts()
    counts = [
        (split, other, int((groups[splits == split].isin(seen[other])).sum())) for split, other in permutations(seen, 2)
    ]
    frame = pd.DataFrame(counts, columns=["split", "other", "images"])
    return frame.assign(share=frame["images"] / frame["split"].map(sizes))


def _bound_pairs(splits: pd.Series[str], bond: Bond) -> pd.DataFrame:
    members = pd.DataFrame({"split": splits, "bond": bond.ids.reindex(splits.index)}).dropna()
    members = members.rename_axis("image").reset_index().sort_values("image")
    firsts = members.drop_duplicates(["bond", "split"])
    joined = members.merge(firsts, on="bond", suffixes=("", "_first"))
    joined = joined[joined["split"] != joined["split_first"]]
    ordered = sorted({(min(pair), max(pair)) for pair in zip(joined["image"], joined["image_first"], strict=True)})
    pairs = pd.DataFrame(ordered, columns=["a", "b"], dtype=object)
    relation = f"same_{bond.evidence.removesuffix('_id')}"
    return pairs.assign(relation=relation, evidence=bond.evidence, correlation=float("nan"), inliers=0)
