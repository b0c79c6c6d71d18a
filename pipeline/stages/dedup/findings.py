"""What the edges say about the dataset: counts, and the pairs that contradict its labels or cross its lesions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from pipeline.core.grouping import SPLITS


def conflicts(duplicates: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """List verified pairs with unlike diagnoses, of different lesions, or of different batches: the dataset's errors.

    Args:
        duplicates: the scalar columns of Duplicates.
        images: the table Images.

    Returns:
        one row a pair, sorted; the flags say which of the three it is.

    """
    columns = ["image_id", "diagnosis", "lesion_id"]
    frame = duplicates[["a", "b", "relation", "evidence", "correlation", "inliers"]]
    for end in ("a", "b"):
        named = images[columns].rename(columns={c: f"{c}_{end}" for c in columns})
        frame = frame.merge(named, left_on=end, right_on=f"image_id_{end}").drop(columns=f"image_id_{end}")
    frame["across_diagnoses"] = frame["diagnosis_a"] != frame["diagnosis_b"]
    known = frame["lesion_id_a"].notna() & frame["lesion_id_b"].notna()
    frame["across_lesions"] = known & (frame["lesion_id_a"] != frame["lesion_id_b"])
    frame["across_batches"] = _batches(frame["a"]) != _batches(frame["b"])
    listed = frame[["across_diagnoses", "across_lesions", "across_batches"]].any(axis=1)
    return frame[listed].sort_values(["relation", "a", "b"], ignore_index=True)


def summarise(
    candidates: pd.DataFrame, duplicates: pd.DataFrame, groups: pd.DataFrame, conflicting: pd.DataFrame
) -> dict[str, Any]:
    """Count what was proposed, proven, removed and grouped.

    Args:
        candidates: proposed_by of every pair that was verified.
        duplicates: the table Duplicates.
        groups: the table Groups.
        conflicting: from `conflicts`.

    """
    sizes = groups["group_id"].value_counts()
    removed = groups["duplicate_of"].notna()
    crossing = ("across_diagnoses", "across_lesions", "across_batches")
    return {
        "images": len(groups),
        "candidates": len(candidates),
        "candidates_by_source": _count(source for sources in candidates["proposed_by"] for source in sources),
        "edges": len(duplicates),
        "edges_by_relation": _count(duplicates["relation"]),
        "edges_by_evidence": _count(duplicates["evidence"]),
        "removed": int(removed.sum()),
        "groups": len(sizes),
        "groups_of_several": int((sizes > 1).sum()),
        "largest_group": int(sizes.max()),
        "images_by_split": {split: int((groups["split"] == split).sum()) for split in SPLITS},
        "kept_by_split": {split: int((groups["split"][~removed] == split).sum()) for split in SPLITS},
        "conflicts": {name: _count(conflicting.loc[conflicting[name], "relation"]) for name in crossing},
    }


def _batches(image_ids: pd.Series[str]) -> pd.Series[str]:
    return image_ids.map(lambda image_id: image_id.partition(":")[0])


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
