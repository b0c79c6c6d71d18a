"""Tools in processes of their own, whatever environment they live in: what they answer, and what they cost.

A process that is measured loads its input, says `ready`, waits for a line, works and says `done`. What lies between is
measured from outside, and so alike for every tool.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

import psutil
from tqdm import tqdm

from bench.command import ROOT
from bench.environments import UnavailableError, last_line

INTERVAL_S = 0.1

Job = TypeVar("Job")


class Child:
    """A process that is told lines and answers with lines."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self.process, self._errors, self._in, self._out = process, errors, process.stdin, process.stdout

    def tell(self, line: str) -> None:
        """Send a line."""
        try:
            self._in.write(line + "\n")
            self._in.flush()
        except BrokenPipeError:
            raise self.failure() from None

    def hear(self, word: str | None = None) -> str:
        """Wait for a line, or for this one.

        Raises:
            UnavailableError: it ended before; the reason is what it said last.

        """
        for line in self._out:
            if word in (None, line.strip()):
                return line.strip()
        raise self.failure()

    def failure(self) -> UnavailableError:
        """Say why it ended."""
        self.process.wait()
        self._errors.seek(0)
        return UnavailableError(f"fails: {last_line(self._errors.read())}")


@contextmanager
def child(command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Start a process that finds our code, unless `variables` say otherwise; it ends with the context."""
    given = os.environ | {"PYTHONPATH": str(ROOT)} if variables is None else variables
    with TemporaryFile("w+", encoding="utf-8") as errors:
        pipe = subprocess.PIPE
        words = list(map(str, command))
        process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=given)
        try:
            yield Child(process, errors)
        finally:
            if process.poll() is None:
                _kill(process.pid)
            process.communicate()  # closes its pipes


@dataclass
class Cost:
    """What a process cost.

    seconds: wall time.
    processor_seconds: of it and its workers.
    peak_mib: largest sum of resident memory over them, input included; pages that they share count for each.
    """

    seconds: float
    processor_seconds: float
    peak_mib: float

    def rounded(self) -> dict[str, float]:
        """Return it for a table."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def measure(command: Sequence[str | Path], *, timeout_s: float = 1e6) -> Cost:
    """Run a process that speaks as said above; its work may take `timeout_s`.

    Raises:
        UnavailableError: it fails, or takes longer.

    """
    with child(command) as running:
        running.hear("ready")
        watcher = Watcher(running.process.pid, timeout_s)
        started = time.monotonic()
        watcher.start()
        try:
            running.tell("")
            running.hear("done")
        except UnavailableError:
            if watcher.killed:
                raise UnavailableError(f"takes more than {timeout_s:.0f} s") from None
            raise
        finally:
            seconds = time.monotonic() - started
            watcher.stop()
        if running.process.wait() != 0:
            raise running.failure()
        return Cost(seconds, watcher.processor_seconds, watcher.peak_bytes / 2**20)


class Watcher(threading.Thread):
    """Looks at a process and its workers again and again, and kills them after `timeout_s`."""

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
                _kill(self._own.pid)
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


def _kill(pid: int) -> None:
    own = psutil.Process(pid)
    for process in [*own.children(recursive=True), own]:
        process.kill()


def in_workers(work: Callable[[Job], object], jobs: Sequence[Job], *, workers: int, label: str, unit: str) -> None:
    """Do jobs in fresh processes, several at a time, and show how far they are."""
    with get_context("spawn").Pool(workers) as pool:
        for _ in tqdm(pool.imap_unordered(work, jobs), desc=label, total=len(jobs), unit=unit):
            pass
