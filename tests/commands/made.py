"""A finished run, made by hand: two lesions with copies, a wrong label, a stray picture, a broken file."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from pipeline.commands.facts import Facts

# image, lesion, true, given, defect, original
PLANTED = [
    ("Melanoma/1.jpg", "0", "Melanoma", "Melanoma", "", ""),
    ("Melanoma/2.jpg", "0", "Melanoma", "Melanoma", "", ""),
    ("Melanoma/3.jpg", "0", "Melanoma", "Melanoma", "copy_bytes", "Melanoma/1.jpg"),
    ("Nevus/4.jpg", "1", "Nevus", "Nevus", "", ""),
    ("Nevus/5.jpg", "1", "Nevus", "Nevus", "copy_crop", "Nevus/4.jpg"),
    ("Melanoma/6.jpg", "1", "Nevus", "Melanoma", "copy_crop", "Nevus/4.jpg"),
    ("Melanoma/7.jpg", "2", "Nevus", "Melanoma", "wrong_label", ""),
    ("Nevus/8.jpg", "", "", "Nevus", "off_topic", ""),
    ("Nevus/9.jpg", "", "", "Nevus", "truncated", ""),
]
# image: duplicate_of, group, split, suspect, error_probability, off_topic
FOUND: dict[str, tuple[str | None, str, str, bool, float, float]] = {
    "Melanoma/1.jpg": (None, "Melanoma/1.jpg", "test", False, 0.1, 0.1),
    "Melanoma/2.jpg": (None, "Melanoma/1.jpg", "test", True, 0.6, 0.2),
    "Melanoma/3.jpg": ("Melanoma/1.jpg", "Melanoma/1.jpg", "test", False, 0.1, 0.1),
    "Nevus/4.jpg": (None, "Nevus/4.jpg", "train", False, 0.2, 0.1),
    "Nevus/5.jpg": ("Nevus/4.jpg", "Nevus/4.jpg", "train", False, 0.2, 0.1),
    "Melanoma/6.jpg": (None, "Melanoma/6.jpg", "train", False, 0.3, 0.1),
    "Melanoma/7.jpg": (None, "Melanoma/7.jpg", "train", True, 0.9, 0.3),
    "Nevus/8.jpg": (None, "Nevus/8.jpg", "train", False, 0.5, 0.9),
}
EDGES = [("Melanoma/1.jpg", "Melanoma/3.jpg", "copy", "bytes"), ("Nevus/4.jpg", "Nevus/5.jpg", "copy", "geometry")]
EDGES += [("Melanoma/1.jpg", "Melanoma/2.jpg", "same_lesion", "geometry")]


def truth() -> pd.DataFrame:
    frame = pd.DataFrame(PLANTED, columns=["image", "lesion", "true_label", "given_label", "defect", "original"])
    frame["image_id"] = "demo:" + frame["image"]
    frame["original"] = frame["original"].map(lambda name: f"demo:{name}" if name else "")
    return frame


def facts(**changes: Any) -> Facts:
    """Make the facts; `changes` replaces some."""
    ids = [f"demo:{name}" for name in FOUND]
    rows = list(FOUND.values())
    groups = pd.DataFrame(
        {
            "image_id": ids,
            "duplicate_of": [f"demo:{r[0]}" if r[0] else None for r in rows],
            "group_id": [f"demo:{r[1]}" for r in rows],
            "split": [r[2] for r in rows],
        }
    )
    given = [name.partition("/")[0].lower() for name in FOUND]
    scores = pd.DataFrame({"image_id": ids, "given": given, "suspect": [r[3] for r in rows]})
    scores = scores.assign(error_probability=[r[4] for r in rows], off_topic=[r[5] for r in rows])
    edges = pd.DataFrame(EDGES, columns=["a", "b", "relation", "evidence"])
    edges[["a", "b"]] = "demo:" + edges[["a", "b"]]
    kept = groups["duplicate_of"].isna() & (groups["image_id"] != "demo:Nevus/8.jpg")
    selection = groups.loc[kept, ["image_id", "split", "group_id"]]
    selection = selection.assign(diagnosis=pd.Series(given, groups.index)[kept], weight=1.0)
    exclusions = groups.loc[~kept, ["image_id"]].assign(reason=["duplicate", "duplicate", "off_topic"])
    made = Facts(
        raw_rows={"demo": 9},
        images=pd.DataFrame({"image_id": ids, "diagnosis": given}),
        rejects=pd.DataFrame({"batch": ["demo"], "source_id": ["Nevus/9.jpg"], "reason": ["truncated"]}),
        duplicates=edges,
        groups=groups,
        scores=scores,
        suspect_queue=pd.DataFrame({"image_id": ["demo:Melanoma/7.jpg", "demo:Melanoma/2.jpg"], "place": [1, 2]}),
        off_topic_queue=pd.DataFrame({"image_id": pd.Series([], dtype=str), "place": pd.Series([], dtype=int)}),
        selections={"curated": selection},
        exclusions={"curated": exclusions},
        ledgers={"curated": "ab"},
    )
    return dataclasses.replace(made, **changes)
