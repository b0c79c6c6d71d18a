from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from pipeline.commands.facts import accounts, find_problems, read_runs, summarise
from tests.commands.made import facts


def test_a_run_that_keeps_the_laws_has_no_problems() -> None:
    assert find_problems(facts()) == []
    assert accounts(facts()) == {"curated": "9 raw rows = 5 selected ⊎ 3 excluded ⊎ 1 rejected"}


def test_a_lost_raw_row_is_noticed() -> None:
    assert find_problems(facts(raw_rows={"demo": 10})) == ["10 raw rows are not 8 images and 1 rejects"]


def test_an_image_that_is_neither_selected_nor_excluded_is_named() -> None:
    selection = facts().selections["curated"].iloc[1:]
    problems = find_problems(facts(selections={"curated": selection}))
    assert problems == ["arm curated: 1 images are neither selected nor excluded, such as demo:Melanoma/1.jpg"]


def test_an_image_that_is_both_selected_and_excluded_is_named() -> None:
    extra = pd.DataFrame({"image_id": ["demo:Nevus/4.jpg"], "reason": ["steward"]})
    exclusions = pd.concat([facts().exclusions["curated"], extra])
    problems = find_problems(facts(exclusions={"curated": exclusions}))
    assert problems == ["arm curated: 1 images are both selected and excluded, such as demo:Nevus/4.jpg"]


def test_an_image_that_was_never_ingested_is_named() -> None:
    selection = facts().selections["curated"]
    stranger = selection.iloc[[0]].assign(image_id="demo:new.jpg")
    problems = find_problems(facts(selections={"curated": pd.concat([selection, stranger])}))
    assert problems == [
        "arm curated: 1 images are selected or excluded, but not ingested, such as demo:new.jpg",
    ]


def test_a_group_in_two_splits_is_noticed() -> None:
    groups = facts().groups
    groups.loc[groups["image_id"] == "demo:Melanoma/2.jpg", "split"] = "train"
    assert find_problems(facts(groups=groups)) == ["Groups: 1 groups are in two splits, such as demo:Melanoma/1.jpg"]


def test_arms_with_different_test_sets_are_noticed() -> None:
    whole = facts()
    selection, exclusions = whole.selections["curated"], whole.exclusions["curated"]
    moved = pd.DataFrame({"image_id": selection["image_id"].iloc[:1], "reason": "duplicate"})
    other = facts(
        selections={"curated": selection, "raw": selection.iloc[1:]},
        exclusions={"curated": exclusions, "raw": pd.concat([exclusions, moved])},
    )
    assert find_problems(other) == ["the arms differ in their validation and test images"]


def test_arms_that_hold_different_decisions_are_noticed() -> None:
    assert find_problems(facts(ledgers={"raw": "cd", "curated": "ab"})) == [
        "the arms hold different decisions: run `dvc repro`"
    ]


def test_everything_is_counted_once() -> None:
    counted = summarise(facts())
    assert (counted["raw_rows"], counted["images"], counted["rejects_by_reason"]) == (9, 8, {"truncated": 1})
    assert counted["duplicates"]["edges"] == {
        "copy": {"all": 2, "bytes": 1, "geometry": 1},
        "same_lesion": {"all": 1, "geometry": 1},
    }
    assert counted["duplicates"]["copies"] == 2
    assert (counted["duplicates"]["groups"], counted["duplicates"]["groups_of_several"]) == (5, 2)
    assert counted["splits"]["test"] == {"images": 3, "groups": 1}
    assert counted["labels"] == {"scored": 8, "suspects": 2, "suspects_by_given": {"melanoma": 2}}
    assert counted["arms"]["curated"]["excluded_by_reason"] == {"duplicate": 2, "off_topic": 1}
    json.dumps(counted)


def test_the_latest_run_of_each_listed_stage_counts(tmp_path: Path) -> None:
    (tmp_path / "data/.cache").mkdir(parents=True)
    runs = [("dedup", 9.0), ("ingest@demo", 1.0), ("dedup", 2.0), ("ingest@gone", 1.0)]
    lines = [json.dumps({"stage": stage, "seconds": seconds, "peak_mib": 100}) for stage, seconds in runs]
    (tmp_path / "data/.cache/runs.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    found = read_runs(tmp_path, ["ingest@demo", "dedup", "evaluate"])
    assert {name: run["seconds"] for name, run in found.items()} == {"ingest@demo": 1.0, "dedup": 2.0}
    assert list(found) == ["ingest@demo", "dedup"]
