from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import threadpoolctl

from pipeline.core import lock
from pipeline.core.engine import WORKERS, Engine, Resources, machine_cores, map_shards
from pipeline.core.errors import UserError
from tests.project import ROOT

PLACES: dict[str, tuple[Engine, int]] = {"one process": ("local", 1), "processes": ("local", 2), "ray": ("ray", 2)}
OTHERS = [name for name in PLACES if name != "one process"]
PATIENCE_S = 600.0  # guards against hanging, not slowness: a Ray that starts beside other tests takes its time


@pytest.fixture(params=PLACES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    chosen, cores = PLACES[request.param]
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return chosen


other_processes = pytest.mark.parametrize("engine", OTHERS, indirect=True)


@pytest.fixture(scope="module", autouse=True)
def _end_of_ray() -> Iterator[None]:
    """The first test with Ray starts it, for all that follow; the variables that start it go with it."""
    before = set(os.environ)
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    for name in [name for name in os.environ if name.startswith("RAY_") and name not in before]:
        del os.environ[name]


def square(number: int) -> int:
    return number * number


def fail_on(bad: int, kind: type[Exception], number: int) -> int:
    if number == bad:
        raise kind(f"cannot square {number}")
    return number * number


def die_once(marker: Path, number: int) -> int:
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_always(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)  # its neighbour still runs when it dies, and is not to blame
    return number


def note(folder: Path, number: int) -> int:
    (folder / f"{number}-{os.getpid()}-{len(list(folder.iterdir()))}").touch()
    return number


def add_in_place(bound: np.ndarray[Any, Any], shard: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shard += bound
    return shard


def threads(_number: int) -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {cv2.getNumThreads(), *(library["num_threads"] for library in threadpoolctl.threadpool_info())}


def process(_number: int) -> int:
    return os.getpid()


def took(seconds: float) -> tuple[float, float]:
    started = time.monotonic()
    time.sleep(seconds)
    return started, time.monotonic()


def tell_and_wait(folder: Path, seconds: int) -> int:
    if seconds:
        (folder / str(os.getpid())).touch()
    time.sleep(seconds)
    return seconds


def visible_gpus(_number: int) -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_results_come_in_the_order_of_the_shards(engine: Engine) -> None:
    assert list(map_shards(square, range(20), label="t", engine=engine)) == [n * n for n in range(20)]


def test_no_shards_give_no_results(engine: Engine) -> None:
    assert list(map_shards(square, [], label="t", engine=engine)) == []


@pytest.mark.parametrize("kind", [ValueError, UserError])
def test_an_error_of_the_function_reaches_the_caller(engine: Engine, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        list(map_shards(partial(fail_on, 2, kind), range(4), label="t", engine=engine))
    assert type(caught.value) is kind
    assert str(caught.value) == "cannot square 2"


def test_arrays_may_be_large_and_changed_on_both_sides(engine: Engine) -> None:
    bound, shards = np.ones(1 << 17), [np.full(1 << 17, n, float) for n in range(3)]
    results = list(map_shards(partial(add_in_place, bound), shards, label="t", engine=engine))
    for n, result in enumerate(results):
        np.add(result, 1, out=result)
        assert (result == n + 2).all()


@other_processes
def test_the_shard_of_a_lost_worker_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    results = list(map_shards(partial(die_once, tmp_path / "died"), range(6), label="t", engine=engine))
    assert results == [n * n for n in range(6)]
    assert (tmp_path / "died").exists()


@other_processes
def test_a_shard_that_always_kills_its_worker_ends_the_run(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="died 3 times at shard 1"):
        list(map_shards(die_always, range(3), label="t", engine=engine))


def test_finished_shards_survive_a_broken_run(engine: Engine, tmp_path: Path) -> None:
    work, calls = tmp_path / "work", tmp_path / "calls"
    work.mkdir()
    calls.mkdir()
    results = map_shards(partial(note, calls), range(5), label="t", engine=engine, scratch=work)
    assert [next(results), next(results)] == [0, 1]
    results.close()  # type: ignore[attr-defined]
    before = set(calls.iterdir())
    again = list(map_shards(partial(note, calls), range(5), label="t", engine=engine, scratch=work))
    assert again == [0, 1, 2, 3, 4]
    seen = [int(path.name.split("-")[0]) for path in set(calls.iterdir()) - before]
    assert not {0, 1} & set(seen), "what was finished is not computed again"
    assert {int(path.name.split("-")[0]) for path in calls.iterdir()} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_tasks_that_still_run_are_killed_when_nobody_wants_them(engine: Engine, tmp_path: Path) -> None:
    results = map_shards(partial(tell_and_wait, tmp_path), [0, 60, 60], label="t", engine=engine)
    assert next(results) == 0
    while len(workers := {int(path.name) for path in tmp_path.iterdir()}) < 2:
        time.sleep(0.02)
    results.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + PATIENCE_S
    while any(running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [worker for worker in workers if running(worker)]


@pytest.mark.parametrize("cores", [1, 2])
def test_a_task_computes_in_as_many_threads_as_it_has_cores(engine: Engine, cores: int) -> None:
    outside = threads(0)
    found = list(map_shards(threads, range(3), label="t", engine=engine, resources=Resources(cores)))
    assert found == [{cores}] * 3
    assert threads(0) == outside


@pytest.mark.parametrize("engine", ["processes"], indirect=True)
def test_no_more_workers_run_than_are_allowed(engine: Engine) -> None:
    token = WORKERS.set(1)
    try:
        assert list(map_shards(process, range(3), label="t", engine=engine)) == [os.getpid()] * 3
    finally:
        WORKERS.reset(token)
    assert os.getpid() not in set(map_shards(process, range(3), label="t", engine=engine))


@other_processes
def test_tasks_that_take_all_cores_run_one_after_the_other(engine: Engine) -> None:
    resources = Resources(machine_cores(engine))
    assert resources == Resources(2)
    times = list(map_shards(took, [0.2] * 3, label="t", engine=engine, resources=resources))
    ordered = sorted(times)
    assert all(end <= start for (_, end), (start, _) in pairwise(ordered)), times


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
@pytest.mark.parametrize("resources", [Resources(3), Resources(gpus=1)], ids=["cores", "gpus"])
def test_what_no_node_has_is_refused(engine: Engine, resources: Resources) -> None:
    with pytest.raises(UserError, match="no node of the Ray cluster has"):
        list(map_shards(square, range(2), label="t", engine=engine, resources=resources))


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_ray_works_in_a_stage_and_a_node_without_its_folder_is_named(engine: Engine, tmp_path: Path) -> None:
    with lock.only_writer(tmp_path, "stage"):
        assert list(map_shards(square, range(2), label="t", engine=engine)) == [0, 1]
        (tmp_path / "stage.workers").unlink()
        with pytest.raises(UserError, match="every node of a Ray cluster needs"):
            list(map_shards(square, range(2), label="t", engine=engine))


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="install the extra `ray`"):
        list(map_shards(square, range(2), label="t", engine="ray"))


RAY = """
import os, sys
from functools import partial
from pathlib import Path
os.cpu_count = lambda: 2
from pipeline.core import progress
progress.SHOWN_AFTER_S = 1e9  # what is ours to say
from pipeline.core.engine import map_shards
from tests.core.test_engine import die_once
print(list(map_shards(partial(die_once, Path(sys.argv[1])), range(10), label="t", engine="ray")))
"""


def run_ray(marker: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RAY, str(marker)],
        env=os.environ | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.pipeline
def test_ray_says_nothing_of_its_own(tmp_path: Path) -> None:
    done = run_ray(tmp_path / "died")
    assert done.stdout.strip() == str([n * n for n in range(10)])
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("address", "sentence"), [("127.0.0.1:1", "no Ray cluster answers"), ("x", "cannot be joined")]
)
def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path, address: str, sentence: str) -> None:
    done = run_ray(tmp_path / "died", RAY_ADDRESS=address)
    assert done.returncode == 1
    assert "UserError" in done.stderr
    assert sentence in done.stderr


STAGE = """
import os, sys
from functools import partial
from pathlib import Path
os.cpu_count = lambda: 2
from pipeline.core import lock
from pipeline.core.engine import map_shards
from tests.core.test_engine import tell_and_wait
folder = Path(sys.argv[1])
with lock.only_writer(folder / "locks", "stage"):
    list(map_shards(partial(tell_and_wait, folder / "workers"), [60] * 4, label="t", engine=sys.argv[2]))
"""


@pytest.mark.pipeline
@pytest.mark.parametrize("chosen", ["local", "ray"])
def test_workers_die_with_a_killed_stage_before_the_next_run_starts(tmp_path: Path, chosen: Engine) -> None:
    servers = kill_a_stage(tmp_path, chosen, os.environ)
    assert len(servers) == (2 if chosen == "ray" else 0)
    deadline = time.monotonic() + PATIENCE_S
    while any(running(server) for server in servers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [server for server in servers if running(server)]


def kill_a_stage(folder: Path, engine: Engine, variables: Mapping[str, str]) -> list[int]:
    """Kill a stage that has two workers; see that the next run waits for them. Return its servers."""
    (folder / "workers").mkdir()
    stage = subprocess.Popen([sys.executable, "-c", STAGE, str(folder), engine], cwd=ROOT, env=variables)
    deadline = time.monotonic() + PATIENCE_S
    while len(workers := list((folder / "workers").iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = psutil.Process(stage.pid).children(recursive=True)
    servers = [child.pid for child in children if child.name() in {"raylet", "gcs_server"}]
    stage.kill()
    stage.wait()
    with lock.only_writer(folder / "locks", "stage"):
        assert len(workers) == 2
        # Who let go of the lock works on nothing any more, but takes a moment to end.
        while any(running(int(path.name)) for path in workers) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not [path.name for path in workers if running(int(path.name))], "two writers"
    return servers


def running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
