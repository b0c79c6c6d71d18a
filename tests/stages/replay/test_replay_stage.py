from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import IMAGE_VERDICTS, PATH, Decision, extend
from pipeline.ledger.replay import STATES
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.replay.params import ReplayParams
from pipeline.stages.replay.stage import run
from pipeline.stages.replay.tables import Decisions, ReviewedGroups
from tests.ledger.made import EMPTY, decision
from tests.stages.rebalance.made import decisions, images, project

PARAMS = ReplayParams(batches=["b"], second_signature=True, until=None)


def replayed(root: Path, made: list[Decision]) -> Store:
    store, _ = project(root, extend(EMPTY, made))
    run(store, PARAMS)
    return store


def test_every_verdict_on_an_image_is_a_row_with_who_decided(tmp_path: Path) -> None:
    made = decisions(images())
    found = replayed(tmp_path, made).read(Decisions).set_index("image_id")
    on_images = {d.image_id: d for d in made if d.verdict in IMAGE_VERDICTS}
    assert found["verdict"].to_dict() == {image: d.verdict for image, d in on_images.items()}
    assert found["to"].dropna().to_dict() == {image: d.to for image, d in on_images.items() if d.verdict == "relabel"}
    assert set(found["steward"]) == {"Dr. A. Nurse"}


def test_pair_verdicts_are_in_the_groups(tmp_path: Path) -> None:
    store = replayed(tmp_path, decisions(images()))
    before, after = (store.read(table).set_index("image_id") for table in (Groups, ReviewedGroups))
    assert before["duplicate_of"].to_dict()["b:0009"] == "b:0008"
    assert "b:0009" not in after["duplicate_of"].dropna().index
    old, new = before["group_id"].to_dict(), after["group_id"].to_dict()
    assert new["b:0300"] == new["b:0350"] != old["b:0350"]


def test_without_decisions_the_groups_are_those_of_dedup(tmp_path: Path) -> None:
    store = replayed(tmp_path, [])
    pd.testing.assert_frame_equal(store.read(Groups), store.read(ReviewedGroups))
    assert store.read(Decisions).empty
    assert store.read_report("replay/summary.json") == {
        "digest": file.read(tmp_path / PATH).digest,
        "recorded": 0,
        **dict.fromkeys(STATES, 0),
        "stewards": [],
        "second_signature": False,
        "waiting": [],
        "stale_decisions": [],
        "moved_by_decisions": {},
        "warnings": [],
    }


@pytest.mark.parametrize("times", [1, 3])
def test_a_ledger_that_changes_in_mid_run_is_read_again(tmp_path: Path, times: int) -> None:
    class Interrupted(Store):
        """A store in front of stewards who decide while the stage writes, and of a file that nobody keeps from them."""

        left = times

        def report(self, relative: str, content: Any) -> None:
            super().report(relative, content)
            if self.left:
                self.left -= 1
                file.append(self.root, [decision(f"b:{self.left:04d}", "drop")])

    project(tmp_path, EMPTY)
    store = Interrupted(tmp_path)
    run(store, PARAMS)
    assert store.read(Decisions)["image_id"].tolist() == [f"b:{i:04d}" for i in range(times)]
    summary = store.read_report("replay/summary.json")
    assert (summary["digest"], summary["recorded"]) == (file.read(tmp_path / PATH).digest, times)


def protected_image(store: Store, split: str = "test") -> str:
    """Name an image of a split with a group of its own."""
    groups = store.read(Groups)
    alone = groups[~groups["group_id"].duplicated(keep=False) & (groups["split"] == split)]
    return str(alone["image_id"].iloc[0])


def test_verdicts_on_test_wait_for_a_second_steward_once_there_are_two(tmp_path: Path) -> None:
    store, known = project(tmp_path, EMPTY)
    test, train = protected_image(store), protected_image(store, "train")
    made = [decision(test, "drop"), decision(train, "drop")]
    other = decision("b:0300", "same_lesion", other_image_id="b:0350", steward="B")
    for more, applied, said in (
        ([], {test, train}, "is the only steward"),
        ([other], {train}, "wait for a second steward"),
        ([decision(test, "drop", steward="B")], {test, train}, ""),
    ):
        (tmp_path / PATH).write_bytes(extend(EMPTY, [*made, *more]))
        run(store, PARAMS)
        assert applied <= set(store.read(Decisions)["image_id"])
        assert (test in set(store.read(Decisions)["image_id"])) == (test in applied)
        summary = store.read_report("replay/summary.json")
        assert said in " ".join(summary["warnings"])
        assert summary["second_signature"] == bool(more)
    run(store, PARAMS.model_copy(update={"second_signature": False}))
    assert store.read_report("replay/summary.json")["warnings"] == []
    assert len(known) == 400


def test_an_image_that_a_pair_moved_into_test_needs_two_stewards_too(tmp_path: Path) -> None:
    store, _ = project(tmp_path, EMPTY)
    test, train = protected_image(store), protected_image(store, "train")
    pair = [decision(test, "same_lesion", other_image_id=train, steward=name) for name in ("A", "B")]
    (tmp_path / PATH).write_bytes(extend(EMPTY, [*pair, decision(train, "drop", steward="A")]))
    run(store, PARAMS)
    assert store.read(ReviewedGroups).set_index("image_id").loc[train, "split"] == "test"
    assert store.read(Decisions).empty


def test_disputes_are_listed_and_not_applied(tmp_path: Path) -> None:
    store = replayed(tmp_path, [decision("b:0001", "drop", steward="A"), decision("b:0001", "drop", steward="B")])
    assert store.read(Decisions)["image_id"].tolist() == ["b:0001"]
    file.append(tmp_path, [decision("b:0001", "not_sure", given="nevus", steward="C")])
    given = store.read(Images, ["b"]).set_index("image_id").loc["b:0001", "diagnosis"]
    file.append(tmp_path, [decision("b:0001", "not_sure", given=given, steward="C")])
    run(store, PARAMS)
    assert store.read(Decisions).empty
    summary = store.read_report("replay/summary.json")
    assert {waiting["steward"] for waiting in summary["waiting"]} == {"A", "B", "C"}
    assert summary["warnings"] == ["1 cases are disputed; the given labels hold until they are decided"]


def test_any_date_is_replayed(tmp_path: Path) -> None:
    days = [decision(f"b:000{i}", "drop", decided_at=f"2026-01-0{i}T10:00:00+00:00") for i in (1, 2, 3)]
    store = replayed(tmp_path, days)
    for until, images_out in (("2026-01-01", 1), ("2026-01-02T10:00:00+00:00", 2), (None, 3)):
        run(store, PARAMS.model_copy(update={"until": until}))
        assert len(store.read(Decisions)) == images_out
        summary = store.read_report("replay/summary.json")
        assert (summary["recorded"], summary["later"]) == (3, 3 - images_out)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        replayed(root, decisions(images()))
    for name in ("data/replay/decisions.parquet", "data/replay/reviewed_groups.parquet", "reports/replay/summary.json"):
        assert (roots[0] / name).read_bytes() == (roots[1] / name).read_bytes()
