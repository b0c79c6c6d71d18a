"""One writer per stage instance, even after `kill -9` of dvc.

DVC's own lock dies with DVC, but the stage it started lives on, and the next `dvc repro` would start a second writer
beside it. So a stage run by DVC dies with its parent (`PR_SET_PDEATHSIG`), holds a file lock while it runs, and its
worker processes hold a second, shared one: the next run starts when the last of them is gone. That one names the run,
so that a task which a cluster starts late, when its stage is gone, does not write either.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.core.errors import UserError

PR_SET_PDEATHSIG = 1


class WorkersLock(NamedTuple):
    """The file that a run's workers lock, shared, and the name of the run, which stands in it."""

    path: Path
    run: str


_workers_lock: WorkersLock | None = None
_worker_hold: IO[str] | None = None


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux only; elsewhere nothing happens)."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        return
    if os.getppid() != parent or _is_orphan():  # it died before the kernel knew of our wish
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def only_writer(folder: Path, name: str, *, patience_s: float = 30.0) -> Iterator[None]:
    """Hold the lock of one stage instance; wait for a dying predecessor and its workers.

    Args:
        folder: where lock files live.
        name: stage and instance.
        patience_s: seconds to wait for the lock.

    Raises:
        UserError: another process still holds it after that time.

    """
    global _workers_lock  # noqa: PLW0603 - a process runs one stage
    folder.mkdir(parents=True, exist_ok=True)
    workers = folder / f"{name}.workers"
    with (folder / f"{name}.lock").open("a+", encoding="utf-8") as own, workers.open("a", encoding="utf-8") as theirs:
        deadline = time.monotonic() + patience_s
        _acquire(own, name, deadline)
        _acquire(theirs, name, deadline)
        run = uuid.uuid4().hex
        _rewrite(theirs, run)  # before others may lock it: what finds another name in it belongs to a run that is gone
        fcntl.flock(theirs, fcntl.LOCK_UN)
        _rewrite(own, f"{os.getpid()}\n")
        _workers_lock = WorkersLock(workers, run)
        try:
            yield
        finally:
            _workers_lock = None
            _rewrite(theirs, "")


def workers_lock() -> WorkersLock | None:
    """Return the lock that this run's workers hold; None outside a stage."""
    return _workers_lock


def enter_worker(lock: WorkersLock | None) -> None:
    """Start a worker process: die with the process that runs the stage, and hold the shared lock until then.

    The kernel's parent of a worker is the fork server, which lives as long as its workers do; so the worker watches the
    stage's own process.
    """
    global _worker_hold  # noqa: PLW0603 - the lock lives as long as the process
    stage = multiprocessing.parent_process()
    if stage is not None:
        threading.Thread(target=_follow, args=(stage,), daemon=True).start()
    if lock is not None:
        _worker_hold = lock.path.open("a", encoding="utf-8")
        fcntl.flock(_worker_hold, fcntl.LOCK_SH)


@contextmanager
def in_task(lock: WorkersLock | None) -> Iterator[None]:
    """Hold the shared lock during one task: Ray's workers outlive tasks, and may be on another machine than the stage.

    Raises:
        UserError: the stage is gone, or this machine does not see its folder.

    """
    if lock is None:
        yield
        return
    with ExitStack() as stack:
        seen = None
        if lock.path.exists():
            file = stack.enter_context(lock.path.open(encoding="utf-8"))
            fcntl.flock(file, fcntl.LOCK_SH)
            seen = file.read()
        if seen != lock.run:
            raise UserError(
                f"{platform.node()} does not see {lock.path} as the stage wrote it: every node of a Ray cluster needs "
                "the project's folder, shared and at the same path (docs/cluster.md)"
            )
        yield


def _is_orphan() -> bool:
    """Say whether this process was left to init; DVC itself may be process 1, as in a container."""
    return os.getppid() == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes()


def _follow(stage: BaseProcess) -> None:
    stage.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _rewrite(file: IO[str], text: str) -> None:
    """Replace what a file holds, and have other machines see it."""
    file.truncate(0)
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _acquire(file: IO[str], name: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                holder = file.read().strip() if "+" in file.mode else ""
                process = f"process {holder}" if holder else "one of its worker processes"
                remedy = f"wait for it, or end it with `kill {holder}`" if holder else "wait for it to end"
                raise UserError(f"{name} is still being run by {process}: {remedy}, then run again") from None
            time.sleep(0.05)
        else:
            return
