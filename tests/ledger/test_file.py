from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.history import verify
from tests.ledger.made import decision, ledger


def list_reader(root: Path, process: int, name: str | None = None) -> Path:
    """Write DVC's lock file as if `process` read the ledger."""
    path = root / ".dvc/tmp/rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"pid": process, "cmd": "dvc repro"}
    path.write_text(json.dumps({"read": {name or str(root / PATH): [entry]}, "write": {}}), "utf-8")
    return path


def finished_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    before = file.read(path)
    file.append(tmp_path, [decision("b:1"), decision("b:2", "drop")])
    after = file.read(path)
    assert before.decisions == []
    assert [d.image_id for d in after.decisions] == ["b:1", "b:2"]
    assert before.digest != after.digest


def test_nothing_is_appended_where_one_decision_makes_no_sense(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    with pytest.raises(UserError, match="cannot be recorded"):
        file.append(tmp_path, [decision(), decision(verdict="relabel", to="")])
    assert file.read(path).decisions == []


def test_nothing_is_appended_to_a_broken_file(tmp_path: Path) -> None:
    path = ledger(tmp_path, b"no header\n")
    with pytest.raises(UserError, match="line 1"):
        file.append(tmp_path, [decision()])
    assert path.read_bytes() == b"no header\n"


def test_a_missing_file_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ledger mend"):
        file.read(tmp_path / PATH)


def test_no_append_of_many_writers_is_lost(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    code = (
        "import sys, pathlib; from pipeline.ledger import file; from tests.ledger.made import decision\n"
        "for i in range(10): file.append(pathlib.Path(sys.argv[1]), [decision(f'{sys.argv[2]}:{i}')])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=Path(__file__).parents[2])
        for name in ("one", "two", "three")
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = [d.image_id for d in file.read(path).decisions]
    assert sorted(found) == sorted(f"{name}:{i}" for name in ("one", "two", "three") for i in range(10))


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: `kill -9` is no power cut, and 2,000 waits for a disk take a minute."""
    memory = Path("/dev/shm")  # noqa: S108 - where Linux has it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


WRITER = """
import pathlib, sys
from pipeline.ledger import file
from pipeline.ledger.decisions import Decision
root, name, first, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with open(root / f"confirmed-{name}", "a") as confirmed:
    for i in range(first, count):
        time = f"2026-01-02T03:04:05.{i:06d}+00:00"
        file.append(root, [Decision(f"{name}:{i}", "sha", "", "labels", "drop", "", "", name, time, "seen", "test")])
        print(i, file=confirmed, flush=True)
"""


@pytest.mark.pipeline
def test_every_confirmed_decision_of_writers_that_are_killed_is_there_once(in_memory: Path) -> None:
    """Two writers of 1,000 decisions each, killed at random; each goes on behind what it heard confirmed."""
    root, count, kills, names, rng = in_memory, 1000, 10, ("one", "two"), np.random.default_rng(0)
    path = ledger(root)

    def confirmed(name: str) -> list[int]:
        lines = root / f"confirmed-{name}"
        return [int(line) for line in lines.read_text().splitlines()] if lines.exists() else []

    def start(name: str) -> subprocess.Popen[bytes]:
        first = max(confirmed(name), default=-1) + 1
        command = [sys.executable, "-c", WRITER, str(root), name, str(first), str(count)]
        return subprocess.Popen(command, cwd=Path(__file__).parents[2])

    writers = {name: start(name) for name in names}
    ends = {name: sorted(rng.choice(count, kills, replace=False)) for name in names}
    while any(ends.values()) or any(writer.poll() != 0 for writer in writers.values()):
        for name in names:
            if ends[name] and len(confirmed(name)) > ends[name][0]:
                time.sleep(rng.uniform(0, 0.02))  # wherever it is by then: before, amid or after the next append
                writers[name].kill()
                writers[name].wait()
                del ends[name][0]
                writers[name] = start(name)
        time.sleep(0.005)
    found = [decision.image_id for decision in file.read(path).decisions]
    assert sorted(found) == sorted(f"{name}:{i}" for name in names for i in range(count)), "each once, none lost"
    assert all(confirmed(name) == list(range(count)) for name in names)
    assert verify(root).problems == []


@pytest.mark.parametrize("listed", [PATH, "data/review", "data"], ids=["the file", "its folder", "a folder above"])
def test_an_appender_waits_while_dvc_lists_the_ledger(
    tmp_path: Path, listed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ledger(tmp_path)
    rwlock = list_reader(tmp_path, os.getpid(), str(tmp_path / listed))
    appender = threading.Thread(target=file.append, args=(tmp_path, [decision()]))
    appender.start()
    time.sleep(0.3)
    assert file.read(path).decisions == []
    rwlock.write_text("{}", "utf-8")
    appender.join()
    assert capsys.readouterr().err.count(f"waiting for dvc (process {os.getpid()})") == 1
    assert len(file.read(path).decisions) == 1


def test_a_waiting_appender_does_not_block_the_stage_that_it_waits_for(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    rwlock = list_reader(tmp_path, os.getpid())
    appender = threading.Thread(target=file.append, args=(tmp_path, [decision()]))
    appender.start()
    file.wait_for_appenders(tmp_path)
    assert appender.is_alive(), "the appender waits for the stage, not the stage for the appender"
    rwlock.unlink()
    appender.join()
    assert len(file.read(path).decisions) == 1


def test_an_appender_that_waits_too_long_says_for_whom(tmp_path: Path) -> None:
    ledger(tmp_path)
    list_reader(tmp_path, os.getpid())
    with pytest.raises(UserError, match=rf"dvc \(process {os.getpid()}\) still reads"):
        file.append(tmp_path, [decision()], patience_s=0.0)


def test_the_lock_of_a_dead_dvc_is_ignored(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    list_reader(tmp_path, finished_process())
    file.append(tmp_path, [decision()], patience_s=0.0)
    assert len(file.read(path).decisions) == 1


def test_an_appender_does_not_wait_for_a_stage_that_reads_other_files(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    list_reader(tmp_path, os.getpid(), str(tmp_path / "data/review/decisions.csv.old"))
    file.append(tmp_path, [decision()], patience_s=0.0)
    assert len(file.read(path).decisions) == 1


def test_an_appender_reads_a_half_written_lock_file_again(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    rwlock = list_reader(tmp_path, finished_process())
    whole = rwlock.read_text("utf-8")
    rwlock.write_text(whole[:20], "utf-8")
    appender = threading.Thread(target=file.append, args=(tmp_path, [decision()]))
    appender.start()
    time.sleep(0.1)
    rwlock.write_text(whole, "utf-8")
    appender.join()
    assert len(file.read(path).decisions) == 1


def test_a_changed_file_is_noticed_and_read_again(tmp_path: Path) -> None:
    ledger(tmp_path)
    seen = []
    for found in file.read_until_unchanged(tmp_path):
        seen.append(len(found.decisions))
        if len(seen) < 3:
            file.append(tmp_path, [decision(f"b:{len(seen)}")])
    assert seen == [0, 1, 2]


def test_decisions_that_are_not_applied_are_counted(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    file.append(tmp_path, [decision("b:1")])
    applied = {"digest": file.read(path).digest, "recorded": 1}
    assert file.count_waiting(tmp_path, applied) == (0, 1)
    file.append(tmp_path, [decision("b:2")])
    assert file.count_waiting(tmp_path, applied) == (1, 2)
    assert file.count_waiting(tmp_path, None) == (2, 2)
    assert file.count_waiting(tmp_path, {"recorded": 1}) == (1, 2), "a report of before digests stood in it"


DVC_YAML = f"""
stages:
  slow:
    cmd: {sys.executable} slow.py
    deps: [{PATH}]
    outs: [copy.csv]
"""
# Reads the ledger, then takes its time, as `replay` may.
SLOW = f"""
import pathlib, shutil, time
from pipeline.ledger import file
file.wait_for_appenders(pathlib.Path("."))
shutil.copy("{PATH}", "copy.csv")
pathlib.Path("read").touch()
time.sleep(2)
"""


@pytest.mark.pipeline
def test_dvc_never_records_a_decision_that_its_stage_did_not_read(tmp_path: Path) -> None:
    """A decision taken in mid-run arrives after the real DVC has hashed the file, so the next `repro` applies it."""
    path = ledger(tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML, "utf-8")
    (tmp_path / "slow.py").write_text(SLOW, "utf-8")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=tmp_path, env=environment, check=True)
    run = subprocess.Popen([*dvc, "repro", "--quiet"], cwd=tmp_path, env=environment)
    while run.poll() is None and not (tmp_path / "read").exists():
        time.sleep(0.02)
    file.append(tmp_path, [decision()])
    assert run.wait() == 0
    assert (tmp_path / "copy.csv").read_bytes() != path.read_bytes()
    subprocess.run([*dvc, "repro", "--quiet"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "copy.csv").read_bytes() == path.read_bytes()
