"""Wall time, processor time and peak memory of a search in a process of its own, its workers included.

A process loads its input, says `ready`, waits for a line, searches, says `done` and keeps what it found. What lies
between is measured from outside, and so alike for every tool, whatever environment it lives in.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import psutil

from bench.environments import UnavailableError, last_line

ROOT = Path(__file__).parents[2]
INTERVAL_S = 0.1


@dataclass
class Cost:
    """What a search cost.

    seconds: wall time.
    processor_seconds: of all its processes.
    peak_mib: largest sum of resident memory over them, input included; pages that they share count for each.
    """

    seconds: float
    processor_seconds: float
    peak_mib: float

    def rounded(self) -> dict[str, float]:
        """Return it for a table."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def measure(command: Sequence[str | Path], *, timeout_s: float) -> Cost:
    """Run a process that speaks as said above.

    Args:
        command: what to run.
        timeout_s: for the search.

    Raises:
        UnavailableError: it fails, or takes longer.

    """
    with TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            _await(process, "ready", errors)
            return _measured(process, errors, timeout_s)
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.communicate()  # closes its pipes


def _measured(process: subprocess.Popen[str], errors: IO[str], timeout_s: float) -> Cost:
    watcher = Watcher(process.pid, timeout_s)
    started = time.monotonic()
    watcher.start()
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.write("\n")
    process.stdin.flush()
    try:
        _await(process, "done", errors)
    except UnavailableError:
        watcher.stop()
        if watcher.killed:
            raise UnavailableError(f"takes more than {timeout_s:.0f} s") from None
        raise
    seconds = time.monotonic() - started
    watcher.stop()
    if process.wait() != 0:
        raise UnavailableError(_reason(errors))
    return Cost(seconds, watcher.processor_seconds, watcher.peak_bytes / 2**20)


class Watcher(threading.Thread):
    """Looks at a process and its workers again and again.

    Args:
        pid: of the process.
        timeout_s: after which it is killed.

    """

    def __init__(self, pid: int, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self.killed, self.peak_bytes = False, 0
        self._own, self._end = psutil.Process(pid), time.monotonic() + timeout_s
        self._spent: dict[int, float] = {}
        self._stopped = threading.Event()
        self._look()
        self._before = sum(self._spent.values())

    @property
    def processor_seconds(self) -> float:
        """Time that all of them have spent since the start."""
        return sum(self._spent.values()) - self._before

    def run(self) -> None:
        """Look until told to stop."""
        while not self._stopped.wait(INTERVAL_S):
            self._look()
            if time.monotonic() > self._end:
                self.killed = True
                for process in [*self._own.children(recursive=True), self._own]:
                    process.kill()
                return

    def stop(self) -> None:
        """End, after a last look."""
        self._stopped.set()
        self.join()
        self._look()

    def _look(self) -> None:
        resident = 0
        try:
            for process in [self._own, *self._own.children(recursive=True)]:
                times: Any = process.cpu_times()
                self._spent[process.pid] = times.user + times.system
                resident += process.memory_info().rss
        except psutil.NoSuchProcess:  # it ended between two calls
            return
        self.peak_bytes = max(self.peak_bytes, resident)


def _await(process: subprocess.Popen[str], word: str, errors: IO[str]) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for line in process.stdout:
        if line.strip() == word:
            return
    process.wait()
    raise UnavailableError(_reason(errors))


def _reason(errors: IO[str]) -> str:
    errors.seek(0)
    return f"fails: {last_line(errors.read())}"
