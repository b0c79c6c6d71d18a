"""One writer per stage instance, even after `kill -9` of dvc.

DVC's own lock dies with DVC, but the stage it started lives on, and the next `dvc repro` would start a second writer
beside it. So a stage run by DVC dies with its parent (`PR_SET_PDEATHSIG`), holds a file lock while it runs, and its
worker processes hold a second, shared one: the next run starts when the last of them is gone.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

from pipeline.core.errors import UserError

PR_SET_PDEATHSIG = 1

_workers_lock: Path | None = None
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
        fcntl.flock(theirs, fcntl.LOCK_UN)
        own.truncate(0)
        own.write(f"{os.getpid()}\n")
        own.flush()
        _workers_lock = workers
        try:
            yield
        finally:
            _workers_lock = None


def workers_lock() -> Path | None:
    """Path of the lock that this run's workers hold; None outside a stage."""
    return _workers_lock


def enter_worker(path: Path | None) -> None:
    """Start a worker process: die with the process that runs the stage, and hold the shared lock until then.

    The kernel's parent of a worker is the fork server, which lives as long as its workers do; so the worker watches the
    stage's own process.
    """
    global _worker_hold  # noqa: PLW0603 - the lock lives as long as the process
    stage = multiprocessing.parent_process()
    if stage is not None:
        threading.Thread(target=_follow, args=(stage,), daemon=True).start()
    if path is not None:
        _worker_hold = path.open("a", encoding="utf-8")
        fcntl.flock(_worker_hold, fcntl.LOCK_SH)


def _is_orphan() -> bool:
    """Say whether this process was left to init; DVC itself may be process 1, as in a container."""
    return os.getppid() == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes()


def _follow(stage: BaseProcess) -> None:
    stage.join()
    os.kill(os.getpid(), signal.SIGKILL)


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
