"""The decisions file on disk: read whole, appended whole, and never while DVC is about to hash it.

DVC hashes the dependencies of a stage after its command has ended. A decision appended while `replay` runs would be
recorded as applied, and never be. So an appender waits while `.dvc/tmp/rwlock` lists the file. Between that look and
the append DVC may start: so both happen under a lock that `replay` takes and releases before it reads. Who writes the
file without asking (`git pull`, a stage run without DVC) may still change it in between: `replay` then reads it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import PATH, Decision, extend, parse

POLL_S = 0.1


@dataclass(frozen=True)
class Ledger:
    """All decisions in order, and the SHA-256 of the file that holds them."""

    decisions: list[Decision]
    digest: str


def read(path: Path) -> Ledger:
    """Read and verify the decisions file.

    Raises:
        UserError: it is missing, or a line is broken.

    """
    content = _content(path)
    return Ledger(parse(content), _digest(content))


def append(root: Path, decisions: Sequence[Decision], *, patience_s: float = 120.0) -> None:
    """Append decisions, all or none, once DVC does not read the file; they are on disk when this returns.

    Args:
        root: the project's folder.
        decisions: what to record, in order.
        patience_s: seconds to wait for DVC.

    Raises:
        UserError: a decision makes no sense, the file is broken, or DVC reads it all that time.

    """
    path, deadline = root / PATH, time.monotonic() + patience_s
    while True:
        with _lock(root):
            reader = _reader(root, path)
            if reader is None:
                content = _content(path)
                parse(content)
                _replace(path, extend(content, decisions))
                return
        # The lock must be free while we wait: the very stage that we wait for takes it first.
        if time.monotonic() > deadline:
            raise UserError(f"dvc (process {reader}) still reads {PATH}: wait for it to end, then record again")
        time.sleep(POLL_S)


def read_until_unchanged(root: Path) -> Iterator[Ledger]:
    """Yield the ledger, and once more each time that it changed while the caller dealt with it.

    Raises:
        UserError: the file is missing, or a line is broken.

    """
    path, changed = root / PATH, True
    while changed:
        wait_for_appenders(root)
        ledger = read(path)
        yield ledger
        changed = _digest(_content(path)) != ledger.digest


def wait_for_appenders(root: Path) -> None:
    """Let an append in progress end; appenders that come later see that DVC lists the file, and wait for it."""
    with _lock(root):
        pass


def count_waiting(root: Path, applied: Mapping[str, Any] | None) -> tuple[int, int]:
    """Count the decisions that a dataset does not hold yet, and all.

    Args:
        root: the project's folder.
        applied: `digest` and `recorded` of the ledger that it holds; None: it holds none.

    """
    ledger = read(root / PATH)
    recorded, known = len(ledger.decisions), applied or {}
    return 0 if known.get("digest") == ledger.digest else recorded - int(known.get("recorded", 0)), recorded


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    folder = root / "data/.cache/locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ledger.lock").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reader(root: Path, path: Path) -> int | None:
    """Return the process that DVC's lock file says to read or write the ledger; None if there is none alive."""
    listed = _read_rwlock(root / ".dvc/tmp/rwlock")
    target = path.resolve()
    for entries in (listed.get("read", {}), listed.get("write", {})):
        for name, holders in entries.items():
            place = Path(name).resolve()
            if place == target or place in target.parents:
                for holder in holders if isinstance(holders, list) else [holders]:
                    if _alive(holder["pid"]):
                        return int(holder["pid"])
    return None


def _alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _read_rwlock(path: Path) -> dict[str, Any]:
    """Read DVC's lock file, which DVC writes in place: while it is half written, read again."""
    for _ in range(50):
        try:
            listed: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError:
            time.sleep(0.02)
        else:
            return listed
    raise UserError(f"{path} is not valid JSON: if no dvc is running, delete it")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{PATH} does not exist: restore it with `git checkout -- {PATH}`") from None


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename, both flushed to disk: a reader or a crash finds the old file or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
