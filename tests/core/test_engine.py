from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from pipeline.core.engine import map_shards


def square(number: int) -> int:
    return number * number


def fail_on(bad: int, number: int) -> int:
    if number == bad:
        raise ValueError(f"cannot square {number}")
    return number * number


def die_once(marker: Path, number: int) -> int:
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_always(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def note(folder: Path, number: int) -> int:
    (folder / f"{number}-{os.getpid()}-{len(list(folder.iterdir()))}").touch()
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_shards(workers: int) -> None:
    assert list(map_shards(square, range(20), label="t", workers=workers)) == [n * n for n in range(20)]


def test_no_shards_give_no_results() -> None:
    assert list(map_shards(square, [], label="t")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_reaches_the_caller(workers: int) -> None:
    with pytest.raises(ValueError, match="cannot square 2"):
        list(map_shards(partial(fail_on, 2), range(4), label="t", workers=workers))


def test_the_shard_of_a_lost_worker_is_tried_again(tmp_path: Path) -> None:
    results = list(map_shards(partial(die_once, tmp_path / "died"), range(6), label="t", workers=2))
    assert results == [n * n for n in range(6)]
    assert (tmp_path / "died").exists()


def test_a_shard_that_always_kills_its_worker_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="died 3 times at shard 1"):
        list(map_shards(die_always, range(3), label="t", workers=2))


def test_finished_shards_survive_a_broken_run(tmp_path: Path) -> None:
    work, calls = tmp_path / "work", tmp_path / "calls"
    work.mkdir()
    calls.mkdir()
    results = map_shards(partial(note, calls), range(5), label="t", workers=1, scratch=work)
    assert [next(results), next(results)] == [0, 1]
    results.close()  # type: ignore[attr-defined]
    again = list(map_shards(partial(note, calls), range(5), label="t", workers=1, scratch=work))
    assert again == [0, 1, 2, 3, 4]
    seen = sorted(int(path.name.split("-")[0]) for path in calls.iterdir())
    assert seen == [0, 1, 2, 3, 4], "each shard was computed once"


def test_ray_gives_the_same_results_as_local_processes() -> None:
    pytest.importorskip("ray", reason="the optional extra `ray` is not installed")
    code = (
        "from pipeline.core.engine import map_shards; from tests.core.test_engine import square; "
        "print(list(map_shards(square, range(10), label='t', engine='ray')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str([n * n for n in range(10)])


def report_and_wait(folder: Path, number: int) -> int:
    (folder / str(os.getpid())).touch()
    time.sleep(1200)
    return number


@pytest.mark.pipeline
def test_workers_die_with_a_killed_stage(tmp_path: Path) -> None:
    code = (
        "import sys; from functools import partial; from pathlib import Path; "
        "from pipeline.core.engine import map_shards; from tests.core.test_engine import report_and_wait; "
        "list(map_shards(partial(report_and_wait, Path(sys.argv[1])), range(4), label='t', workers=2))"
    )
    stage = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 600
    while len(workers := list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    stage.kill()
    stage.wait()
    while any(psutil.pid_exists(int(path.name)) for path in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(workers) == 2
    assert not [path.name for path in workers if psutil.pid_exists(int(path.name))]
