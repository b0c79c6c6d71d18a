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


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        replayed(root, decisions(images()))
    for name in ("data/replay/decisions.parquet", "data/replay/reviewed_groups.parquet", "reports/replay/summary.json"):
        assert (roots[0] / name).read_bytes() == (roots[1] / name).read_bytes()
