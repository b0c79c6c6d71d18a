from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pipeline.commands.audit_split.crossings import Bond, crossings, shared

SPLITS = pd.Series({"a": "train", "b": "train", "c": "test", "d": "test", "e": "validation"})


def edges(*pairs: tuple[str, str, str]) -> pd.DataFrame:
    rows = [(*pair, "geometry", 0.9, 30) for pair in pairs]
    return pd.DataFrame(rows, columns=["a", "b", "relation", "evidence", "correlation", "inliers"])


def pairs(found: pd.DataFrame) -> list[list[Any]]:
    return found[["a", "b", "relation", "evidence"]].to_numpy().tolist()


def test_only_pairs_in_two_splits_cross_and_copies_come_first() -> None:
    found = crossings(
        SPLITS, edges(("a", "c", "same_lesion"), ("a", "b", "copy"), ("b", "d", "copy"), ("c", "x", "copy")), []
    )
    assert pairs(found) == [["b", "d", "copy", "geometry"], ["a", "c", "same_lesion", "geometry"]]
    assert found[["split_a", "split_b"]].to_numpy().tolist() == [["train", "test"], ["train", "test"]]


def test_a_lesion_crosses_by_name_where_no_edge_proves_it() -> None:
    lesions = pd.Series({"a": "l", "b": "l", "c": "l", "d": None, "e": "l", "x": "l"})
    found = crossings(SPLITS, edges(("a", "c", "copy")), [Bond("lesion_id", lesions)])
    assert pairs(found) == [
        ["a", "c", "copy", "geometry"],
        *[[a, b, "same_lesion", "lesion_id"] for a, b in (("a", "e"), ("b", "c"), ("b", "e"), ("c", "e"))],
    ]


def test_a_patient_crosses_as_a_lesion_does_and_comes_after_it() -> None:
    lesions, patients = pd.Series({"a": "l", "c": "l"}), pd.Series({"a": "p", "c": "p", "b": "q", "d": "q", "e": None})
    bonds = [Bond("patient_id", patients), Bond("lesion_id", lesions)]
    assert pairs(crossings(SPLITS, edges(), bonds)) == [
        ["a", "c", "same_lesion", "lesion_id"],
        ["b", "d", "same_patient", "patient_id"],
    ]
    found = shared(SPLITS, edges(), bonds).set_index(["split", "other"])
    assert found.loc[("test", "train"), "images"] == 2


def test_an_image_is_shared_also_by_a_copy_of_a_copy_outside_the_split() -> None:
    found = shared(SPLITS, edges(("a", "x", "copy"), ("c", "x", "copy")), []).set_index(["split", "other"])
    assert found.loc[("test", "train"), "images"] == 1
    assert found.loc[("test", "train"), "share"] == pytest.approx(0.5)
    assert found.loc[("validation", "train"), "images"] == 0
    assert len(found) == 6


def test_nothing_crosses_a_clean_split() -> None:
    lesions = Bond("lesion_id", pd.Series({"c": "l", "d": "l"}))
    assert len(crossings(SPLITS, edges(("a", "b", "copy")), [lesions])) == 0
