"""Decisions that wait while DVC reads the ledger: they are on disk at once, and reach the ledger later, each once.

A desk has one file, a decision a line. Who appends them to the ledger empties it afterwards; if he dies in between, the
next one appends them again, and the ledger does not write again what it holds to the last field.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pipeline.ledger import file
from pipeline.ledger.decisions import Decision

DESKS = "data/.cache/review/desks"  # a folder a desk
NAME = "waiting.jsonl"


def record(root: Path, spool: Path, decisions: Sequence[Decision], *, patience_s: float = 0.0) -> bool:
    """Append decisions to the ledger, behind those that wait; say whether they are in it, or wait as well.

    Args:
        root: the project's folder.
        spool: the desk's file of waiting decisions.
        decisions: in order; none: only those that wait.
        patience_s: seconds to wait for DVC before they are put to the others.

    Raises:
        UserError: a decision makes no sense, or the ledger is broken: those that waited still do.

    """
    with _lock(spool):
        before = waiting(spool)
        if not before and not decisions:
            return True
        try:
            file.append(root, [*before, *decisions], patience_s=patience_s)
        except file.BusyError:
            _add(spool, decisions)
            return False
        spool.unlink(missing_ok=True)
        return True


def waiting(spool: Path) -> list[Decision]:
    """Read the decisions that wait; a line that a dying process left unfinished was never confirmed."""
    try:
        *lines, _ = spool.read_text("utf-8").split("\n")
    except FileNotFoundError:
        return []
    return [Decision(**json.loads(line)) for line in lines]


def record_all(root: Path, desks: Path, *, patience_s: float = 0.0) -> int:
    """Append what waits at any desk; return how many decisions still wait.

    Args:
        root: the project's folder.
        desks: a folder with a folder a desk.
        patience_s: seconds to wait for DVC, at each desk.

    Raises:
        UserError: the ledger is broken.

    """
    spools = sorted(desks.glob(f"*/{NAME}"))
    done = [record(root, spool, [], patience_s=patience_s) for spool in spools]
    return sum(len(waiting(spool)) for spool, gone in zip(spools, done, strict=True) if not gone)


def _add(spool: Path, decisions: Sequence[Decision]) -> None:
    """Write lines behind the last whole one, and flush them to disk."""
    content = spool.read_bytes() if spool.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    lines = [json.dumps({**asdict(decision), "seq": 0}) + "\n" for decision in decisions]
    file.replace_durably(spool, whole + "".join(lines).encode())


@contextmanager
def _lock(spool: Path) -> Iterator[None]:
    spool.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with spool.with_suffix(".lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
