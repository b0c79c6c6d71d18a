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
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import PATH, Decision, extend, holds, merge, parse, unspoil, with_line_feeds
from pipeline.ledger.history import (
    HEAD_COPY,
    committed_version,
    good_part,
    head_copy,
    keep_head_copy,
    lost_tail,
    missing,
    not_extended,
    read_bytes,
)

POLL_S = 0.1


class BusyError(UserError):
    """DVC reads the ledger: nothing was written, and the same may be recorded later."""


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
    content = read_bytes(path)
    return Ledger(parse(content), _digest(content))


def append(root: Path, decisions: Sequence[Decision], *, patience_s: float = 120.0) -> None:
    """Append decisions, all or none, once DVC does not read the file; they are on disk when this returns.

    A decision that the ledger holds already, to the last field, is not written again: who died before hearing that it
    was written may append it once more.

    Args:
        root: the project's folder.
        decisions: what to record, in order.
        patience_s: seconds to wait for DVC.

    Raises:
        UserError: a decision makes no sense, or the file is broken or lacks what was recorded here.
        BusyError: DVC reads it all that time.

    """

    def appended() -> bytes:
        content = _whole(root)
        return extend(content, [one for one in dict.fromkeys(decisions) if not holds(content, one)])

    _change(root, appended, patience_s=patience_s)


def merge_in(root: Path, theirs: bytes, *, patience_s: float = 120.0) -> int:
    """Append what another ledger holds and this one does not; return how many decisions that were.

    Raises:
        UserError: one of the two is broken or lacks what was recorded here, they contradict each other, or DVC reads
            the file all that time.

    """
    before = len(read(root / PATH).decisions)
    _change(root, lambda: merge(_whole(root), theirs), patience_s=patience_s)
    return len(read(root / PATH).decisions) - before


def mend(root: Path, *, patience_s: float = 120.0) -> str:
    """Bring back a ledger that was spoiled by hand or by a program, as far as it can be; say what was done.

    The candidates are the file without what a spreadsheet did to it, up to its first broken line, the copy of the last
    append here, and the committed version: the longest that lacks nothing of the others is taken. A file of which
    anything is given up is kept beside the ledger, as it was.

    Raises:
        UserError: there is nothing to mend it from, or DVC reads the file all that time.

    """
    said: list[str] = []

    def mended() -> bytes:
        found = (root / PATH).read_bytes() if (root / PATH).exists() else b""
        committed, copy = with_line_feeds(committed_version(root) or b""), head_copy(root)
        candidates = [good_part(content) for content in (unspoil(found), copy, committed)]
        best = max(candidates, key=lambda c: (c.startswith(committed), not lost_tail(root, c), len(c)))
        if not best:
            raise UserError(
                f"{PATH}: neither it, nor git, nor {HEAD_COPY} holds a ledger: bring one back from a backup"
            )
        if best == found:
            said.append(f"{PATH} is whole: nothing was done")
        elif best.startswith(unspoil(found)):
            said.append(f"{PATH} is mended, with {len(parse(best))} decisions; nothing was lost")
        else:
            kept = (root / PATH).with_name(f"decisions.spoiled-{_digest(found)[:8]}.csv")
            kept.write_bytes(found)
            said.append(f"{PATH} is mended, with {len(parse(best))} decisions; {kept.name} beside it is what it was")
            only = missing(unspoil(found), best) if candidates[0] == unspoil(found) else []
            if only:
                said.append(
                    f"{len(only)} decisions are in that file alone, the first on {only[0].image_id} by "
                    f"{only[0].steward}: `python -m pipeline ledger merge data/review/{kept.name}` brings them in"
                )
        return best

    _change(root, mended, patience_s=patience_s)
    return "; ".join(said)


def _whole(root: Path) -> bytes:
    """Read the ledger, which must be valid, and hold all that is committed and was recorded here.

    So was the copy of the last append when it was written: what equals it need not be looked at again.
    """
    content = read_bytes(root / PATH)
    if content != head_copy(root):
        parse(content)
        committed = with_line_feeds(committed_version(root) or b"")
        if wrong := not_extended(committed, with_line_feeds(content)) or lost_tail(root, with_line_feeds(content)):
            raise UserError(wrong)
    return content


def _change(root: Path, change: Callable[[], bytes], *, patience_s: float) -> None:
    """Replace the file's content by what `change` makes, while neither DVC nor another appender is at it."""
    path, deadline, told = root / PATH, time.monotonic() + patience_s, False
    while True:
        with _lock(root):
            reader = _reader(root, path)
            if reader is None:
                after = change()
                if not path.exists() or after != path.read_bytes():
                    replace_durably(path, after)
                keep_head_copy(root, after)
                return
        # The lock must be free while we wait: the very stage that we wait for takes it first.
        if time.monotonic() > deadline:
            raise BusyError(f"dvc (process {reader}) still reads {PATH}: wait for it to end, then record again")
        if not told and patience_s:
            print(f"waiting for dvc (process {reader}), which reads {PATH}", file=sys.stderr)
            told = True
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
        changed = _digest(read_bytes(path)) != ledger.digest


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


def replace_durably(path: Path, content: bytes) -> None:
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
