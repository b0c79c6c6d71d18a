from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.core.lock import WorkersLock, in_task, only_writer, workers_lock

# Both hold the lock until their standard input ends.
HOLD = """
import sys
from pathlib import Path
from pipeline.core import lock
with lock.only_writer(Path(sys.argv[1]), "stage"):
    print("held", flush=True)
    sys.stdin.read()
"""

WORKER = """
import sys
from pathlib import Path
from pipeline.core import lock
lock.enter_worker(lock.WorkersLock(Path(sys.argv[1]) / "stage.workers", "run"))
print("held", flush=True)
sys.stdin.read()
"""

TASK = """
import sys, time
from pathlib import Path
from pipeline.core import lock
with lock.in_task(lock.WorkersLock(Path(sys.argv[1]) / "stage.workers", "")):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", '''
import time
from pipeline.core import lock
lock.die_with_parent()
print("alive", flush=True)
time.sleep(1200)
'''], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.pipeline
@pytest.mark.parametrize("code", [HOLD, WORKER], ids=["writer", "worker"])
def test_the_next_run_waits_for_a_dying_one(tmp_path: Path, code: str) -> None:
    process = start(code, str(tmp_path))
    assert first_line(process) == "held"
    ending = threading.Event()

    def let_it_end() -> None:
        time.sleep(0.3)  # by then the next run waits
        ending.set()
        process.communicate()

    threading.Thread(target=let_it_end).start()
    with only_writer(tmp_path, "stage", patience_s=600):
        assert ending.is_set()
    assert process.wait() == 0


@pytest.mark.parametrize("code", [HOLD, WORKER], ids=["writer", "worker"])
def test_a_run_that_does_not_die_is_refused_in_one_sentence(tmp_path: Path, code: str) -> None:
    process = start(code, str(tmp_path))
    assert first_line(process) == "held"
    with (
        pytest.raises(UserError, match=str(process.pid) if code is HOLD else "worker"),
        only_writer(tmp_path, "stage", patience_s=0.2),
    ):
        pytest.fail("two writers")
    end(process)


def test_the_next_run_waits_for_a_task_and_not_for_the_worker_that_ran_it(tmp_path: Path) -> None:
    (tmp_path / "stage.workers").touch()
    process = start(TASK, str(tmp_path), "60")
    assert first_line(process) == "held"
    with pytest.raises(UserError, match="worker"), only_writer(tmp_path, "stage", patience_s=0.2):
        pytest.fail("two writers")
    end(process)
    with only_writer(tmp_path, "stage", patience_s=0):
        with in_task(workers_lock()):
            pass
        with in_task(workers_lock()):
            pass


def test_a_task_that_starts_when_its_stage_is_gone_does_nothing(tmp_path: Path) -> None:
    with only_writer(tmp_path, "stage"):
        gone = workers_lock()
    with pytest.raises(UserError, match="does not see"), in_task(gone):
        pytest.fail("nobody waits for it")
    with only_writer(tmp_path, "stage"), pytest.raises(UserError, match="does not see"), in_task(gone):
        pytest.fail("two writers")


def test_a_machine_that_does_not_see_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"shared and at the same path"), in_task(WorkersLock(tmp_path / "no", "run")):
        pytest.fail("it would write elsewhere")


def test_an_error_of_the_task_is_its_own(tmp_path: Path) -> None:
    with only_writer(tmp_path, "stage"), pytest.raises(FileNotFoundError, match="picture"), in_task(workers_lock()):
        raise FileNotFoundError("picture")


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    process = start(HOLD, str(tmp_path))
    assert first_line(process) == "held"
    end(process)
    with only_writer(tmp_path, "stage", patience_s=5):
        pass


def test_instances_do_not_block_each_other(tmp_path: Path) -> None:
    with only_writer(tmp_path, "embed@one", patience_s=0), only_writer(tmp_path, "embed@two", patience_s=0):
        pass


def test_a_stage_dies_with_its_parent() -> None:
    parent = start(PARENT)
    child = Path("/proc") / first_line(parent)
    assert child.exists()
    end(parent)
    deadline = time.monotonic() + 600
    while child.exists() and "Z" not in _state(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or "Z" in _state(child)


def test_a_stage_whose_parent_died_before_it_could_ask_dies_too(tmp_path: Path) -> None:
    late = f"""
import os, time
from pathlib import Path
from pipeline.core import lock
while os.getppid() != 1:
    time.sleep(0.01)
lock.die_with_parent()
Path({str(tmp_path / "survived")!r}).touch()
"""
    shell = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" >/dev/null 2>&1 & echo $!', sys.executable, late],
        capture_output=True,
        text=True,
        check=True,
    )
    stage = Path("/proc") / shell.stdout.strip()
    while stage.exists() and "Z" not in _state(stage):
        time.sleep(0.02)
    assert not (tmp_path / "survived").exists()


def test_a_worker_outside_a_stage_takes_no_lock() -> None:
    # In a process of its own: entering a worker ties its life to this one's.
    code = "from pipeline.core.lock import enter_worker; enter_worker(None); print('ok')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "ok\n"


def _state(process: Path) -> str:
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
