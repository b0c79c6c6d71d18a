from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.review import spool
from tests.ledger.made import decision, ledger


def hold(root: Path) -> Path:
    """Let this process stand for a dvc that reads the ledger; what is returned is its lock file."""
    lock = root / ".dvc/tmp/rwlock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    entry = {"pid": os.getpid(), "cmd": "dvc repro"}
    lock.write_text(json.dumps({"read": {str(root / PATH): [entry]}, "write": {}}))
    return lock


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    ledger(tmp_path)
    return tmp_path / "desks/a" / spool.NAME


def test_a_decision_goes_to_the_ledger_where_nobody_reads_it(tmp_path: Path, desk: Path) -> None:
    assert spool.record(tmp_path, desk, [decision("b:1")])
    assert [d.image_id for d in file.read(tmp_path / PATH).decisions] == ["b:1"]
    assert spool.waiting(desk) == []


def test_decisions_wait_while_dvc_reads_and_arrive_once_in_their_order(tmp_path: Path, desk: Path) -> None:
    lock, one, two = hold(tmp_path), decision("b:1"), decision("b:2")
    assert not spool.record(tmp_path, desk, [one])
    assert not spool.record(tmp_path, desk, [two])
    assert spool.waiting(desk) == [one, two]
    assert file.read(tmp_path / PATH).decisions == []
    lock.unlink()
    assert spool.record(tmp_path, desk, [decision("b:3")])
    assert [d.image_id for d in file.read(tmp_path / PATH).decisions] == ["b:1", "b:2", "b:3"]
    assert spool.waiting(desk) == []


def test_who_died_after_appending_appends_nothing_twice(tmp_path: Path, desk: Path) -> None:
    lock, one = hold(tmp_path), decision("b:1")
    spool.record(tmp_path, desk, [one])
    lock.unlink()
    file.append(tmp_path, [one])  # and died before the file of waiting decisions was emptied
    assert spool.record_all(tmp_path, tmp_path / "desks") == 0
    assert file.read(tmp_path / PATH).decisions == [one]
    assert spool.waiting(desk) == []


def test_a_line_that_was_never_finished_was_never_confirmed(tmp_path: Path, desk: Path) -> None:
    lock, one = hold(tmp_path), decision("b:1")
    spool.record(tmp_path, desk, [one])
    with desk.open("a") as out:
        out.write('{"image_id": "b:2", "sha')
    assert spool.waiting(desk) == [one]
    assert not spool.record(tmp_path, desk, [decision("b:3")])
    lock.unlink()
    spool.record_all(tmp_path, tmp_path / "desks")
    assert [d.image_id for d in file.read(tmp_path / PATH).decisions] == ["b:1", "b:3"]


def test_what_waits_at_all_desks_is_counted(tmp_path: Path, desk: Path) -> None:
    hold(tmp_path)
    spool.record(tmp_path, desk, [decision("b:1")])
    spool.record(tmp_path, tmp_path / "desks/b" / spool.NAME, [decision("b:2"), decision("b:3")])
    assert spool.record_all(tmp_path, tmp_path / "desks") == 3


def test_a_decision_without_sense_is_refused_and_the_others_still_wait(tmp_path: Path, desk: Path) -> None:
    lock = hold(tmp_path)
    spool.record(tmp_path, desk, [decision("b:1")])
    lock.unlink()
    with pytest.raises(UserError, match="is not a verdict"):
        spool.record(tmp_path, desk, [decision("b:2", "perhaps")])
    assert len(spool.waiting(desk)) == 1
