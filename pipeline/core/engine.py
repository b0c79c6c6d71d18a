"""Run a pure function over shards of work, on this machine's cores or on a Ray cluster.

One function, so that no stage knows how its work is spread. Results come in the order of the shards; a lost worker's
shard is tried again; finished shards survive a killed run. What a cluster needs is in docs/cluster.md.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import secrets
import socket
from collections.abc import Callable, Generator, Iterator, Sequence, Sized
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
from threadpoolctl import threadpool_limits

from pipeline.core import lock, progress
from pipeline.core.errors import UserError

Engine = Literal["local", "ray"]
WORKERS: ContextVar[int | None] = ContextVar("workers", default=None)  # at most, on this machine; None: as many as fit
ATTEMPTS = 3
WINDOW = 4  # shards submitted for each that can run: bounds the results that wait for their turn
STORE_BYTES = 1 << 28  # of the object store of a Ray that is started here; what it cannot hold goes to disk
KNOCK_SECONDS = 10.0

Shard = TypeVar("Shard")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Resources:
    """What one shard takes of a machine while it is worked on.

    cores: at least 1; also the number of threads that numeric libraries compute in.
    gpus: whole ones. Processes of one machine do not share them out: there, such shards run one after the other.
    """

    cores: int = 1
    gpus: int = 0


ONE_CORE = Resources()


def map_shards(
    function: Callable[[Shard], Result],
    shards: Sequence[Shard],
    *,
    label: str,
    engine: Engine = "local",
    scratch: Path | None = None,
    resources: Resources = ONE_CORE,
) -> Iterator[Result]:
    """Yield `function(shard)` for every shard, in the order of `shards`, and show how far it is.

    Args:
        function: pure, importable from a module (it travels to other processes by name), as `functools.partial` or not.
        shards: the work, in pieces of some seconds each; picklable. Paths in it are absolute.
        label: what is done, for progress and the names of finished results.
        engine: `local` (processes) or `ray` (connects to the cluster in RAY_ADDRESS, or starts one on this machine).
        scratch: folder for finished results; those found there are not computed again.
        resources: what a shard takes; so many run beside each other as the machine or the cluster has room for.

    Raises:
        RuntimeError: a shard's worker died three times (out of memory, most likely).
        UserError: Ray is not installed, its cluster does not answer, or no node of it has what a shard takes.
        Exception: whatever `function` raises.

    """
    done = {i: path for i in range(len(shards)) if scratch and (path := scratch / f"{label}-{i:06d}.pkl").exists()}
    missing = [i for i in range(len(shards)) if i not in done]
    run = _run_ray if engine == "ray" else _run_local
    finished = len(done)
    with (
        closing(run(function, [shards[i] for i in missing], label=label, resources=resources)) as fresh,
        progress.step(label, len(shards), first=finished) as followed,
    ):
        for i in range(len(shards)):
            if i in done:
                yield pickle.loads(done[i].read_bytes())  # noqa: S301 - our own file
                continue
            result = next(fresh)
            if scratch:
                path = scratch / f"{label}-{i:06d}.pkl"
                temporary = path.with_suffix(".partial")
                temporary.write_bytes(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
                temporary.replace(path)
            finished += 1
            followed.done = finished
            yield result


def machine_cores(engine: Engine) -> int:
    """Count the cores of the machine that works on shards; of a cluster's, those of the smallest.

    Raises:
        UserError: see `map_shards`.

    """
    if engine == "local":
        return os.cpu_count() or 1
    cores = [int(node["CPU"]) for node in _nodes(_connect()) if node.get("CPU", 0) >= 1]
    if not cores:
        raise UserError("no node of the Ray cluster offers a core: start one with `ray start --address=…`")
    return min(cores)


def _run_shard(function: Callable[[Shard], Result], shard: Shard, *, cores: int) -> Result:
    """Run one shard in as many threads as it has cores.

    Left alone, every library guesses a number, Ray sets another, and the order of a sum follows it. (torch has a number
    of its own, which `learn` and `embed` set to the same.)
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(cores)
    try:
        with threadpool_limits(cores):
            return function(shard)
    finally:
        cv2.setNumThreads(before)


def _run_local(
    function: Callable[[Shard], Result], shards: Sequence[Shard], *, label: str, resources: Resources
) -> Generator[Result, None, None]:
    workers = 1 if resources.gpus else max((os.cpu_count() or 1) // resources.cores, 1)
    workers = min(workers, WORKERS.get() or workers)
    work = partial(_run_shard, function, cores=resources.cores)
    if workers == 1 or len(shards) <= 1:
        yield from map(work, shards)
        return
    attempts = dict.fromkeys(range(len(shards)), 0)
    position = 0
    while position < len(shards):
        # A worker's death breaks the pool, whichever shard it had. The next one then runs alone: with all the memory
        # there is, and where it dies again, it is the one.
        end = position + 1 if attempts[position] else len(shards)
        with _pool(function, min(workers, end - position)) as pool:
            window: dict[int, Future[Result]] = {}
            try:
                while position < end:
                    for i in range(position, min(position + WINDOW * workers, end)):
                        if i not in window:
                            window[i] = pool.submit(work, shards[i])
                    result = window.pop(position).result()
                    position += 1
                    yield result
            except BrokenProcessPool as error:
                attempts[position] += 1
                if attempts[position] >= ATTEMPTS:
                    raise _died(label, position) from error


def _died(label: str, position: int) -> RuntimeError:
    return RuntimeError(f"{label}: workers died {ATTEMPTS} times at shard {position}: is there enough memory?")


def _pool(function: Callable[[Any], Any], workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_module(function)])  # imported once, not by every worker
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=lock.enter_worker,
        initargs=(lock.workers_lock(),),
    )
    # All workers start before the first shard. Were they started one by one, beside shards that already run, the death
    # of one could meet the start of another, and the pool would wait for ever (CPython avoids it for `fork` only).
    pool._safe_to_dynamically_spawn_children = False  # type: ignore[attr-defined]  # noqa: SLF001
    return pool


def _module(function: Callable[[Any], Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return function.__module__


def _run_ray(
    function: Callable[[Any], Any], shards: Sequence[Any], *, label: str, resources: Resources
) -> Generator[Any, None, None]:
    """Run shards as Ray's tasks; what each is told and what it returns travels through Ray's object store.

    Ray tries nothing again by itself: for ever, it would, what its memory monitor has killed.
    """
    if not shards:
        return
    ray = _connect()
    if not _room(ray, resources):
        raise UserError(
            f"{label} takes {resources.cores} cores and {resources.gpus} GPUs of one machine, which no node of the Ray "
            "cluster has: see what `ray status` lists, and `device` in params.yaml"
        )
    task = ray.remote(max_retries=0, num_cpus=resources.cores, num_gpus=resources.gpus)(_run_packed)
    packed = ray.put(pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL))
    lost = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
    )
    attempts = dict.fromkeys(range(len(shards)), 0)
    window: dict[int, Any] = {}
    position = 0
    try:
        while position < len(shards):
            for i in range(position, min(position + WINDOW * max(_room(ray, resources), 1), len(shards))):
                if i not in window:
                    shard = pickle.dumps(shards[i], protocol=pickle.HIGHEST_PROTOCOL)
                    window[i] = task.remote(packed, shard, cores=resources.cores, held=lock.workers_lock())
            try:
                result = pickle.loads(ray.get(window[position]))  # noqa: S301 - our own worker's
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except lost as error:
                attempts[position] += 1
                if attempts[position] >= ATTEMPTS:
                    raise _died(label, position) from error
                del window[position]
                continue
            del window[position]
            position += 1
            yield result
    finally:
        _leave(ray, window)


def _run_packed(function: bytes, shard: bytes, *, cores: int, held: lock.WorkersLock | None) -> bytes:
    """Run one shard in a worker of Ray's.

    Pickled by us, both ways: arrays that Ray unpickles cannot be written to, and hold their place in the object store.
    """
    with lock.in_task(held):
        result = _run_shard(pickle.loads(function), pickle.loads(shard), cores=cores)  # noqa: S301
        return pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)


def _leave(ray: Any, running: Sized) -> None:  # noqa: ANN401 - Ray carries no types
    """Leave Ray if tasks run that nobody waits for: it kills them then.

    `ray.cancel` of a task that ends at that moment can crash this process (Ray 2.60: "Tried to complete task that was
    not pending").
    """
    if running and ray.is_initialized():
        ray.shutdown()


def _nodes(ray: Any) -> list[dict[str, float]]:  # noqa: ANN401
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _room(ray: Any, resources: Resources) -> int:  # noqa: ANN401
    """Count the shards that can run beside each other, were nothing else running."""
    wanted = {"CPU": resources.cores, "GPU": resources.gpus}
    return sum(min(int(node.get(kind, 0) // n) for kind, n in wanted.items() if n) for node in _nodes(ray))


def _connect() -> Any:  # noqa: ANN401
    """Import Ray and join the cluster in RAY_ADDRESS, or start one of this machine alone, which ends with this process.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.

    """
    address = os.environ.get("RAY_ADDRESS", "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address and "RAY_AUTH_MODE" not in os.environ:  # Ray listens on all of the machine's addresses
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray  # noqa: PLC0415 - an optional extra, which takes half a second
    except ImportError as error:
        raise UserError(
            "engine is ray in params.yaml, but Ray is not installed: install the extra `ray` "
            "(`make` installs it with the lock), or set engine to local"
        ) from error
    if ray.is_initialized():
        return ray
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001 - or its raylet's remarks go to standard output
    quiet = {
        "log_to_driver": False,
        "logging_level": "error",
        "runtime_env": {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}},
    }
    if not address:
        cores, store = os.cpu_count() or 1, STORE_BYTES
        ray.init("local", num_cpus=cores, object_store_memory=store, include_dashboard=False, **quiet)
        return ray
    _knock(address)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(f"the Ray cluster at {address}, as RAY_ADDRESS says, cannot be joined: {error}") from error
    return ray


def _knock(address: str) -> None:
    """See that somebody listens: Ray itself would try for two minutes, and then end the process."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():  # `auto`, say, of which Ray knows more
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at {address}, as RAY_ADDRESS says ({error}): start it with `ray start --head`, "
            "correct RAY_ADDRESS, or unset it to run on this machine alone"
        ) from error
