"""Measure what a stage costs: wall time, and peak memory of its whole process tree."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

INTERVAL_S = 0.2


@dataclass
class Cost:
    """What was measured; complete when the block has ended.

    seconds: wall time.
    peak_mib: largest sum over the process and its workers of resident memory; pages that they share count for each.
    """

    seconds: float = 0.0
    peak_mib: float = 0.0


@contextmanager
def measure() -> Iterator[Cost]:
    """Measure a block by sampling: workers of a fork server are not among the children that the kernel sums up."""
    cost, done = Cost(), threading.Event()

    def watch() -> None:
        while True:
            cost.peak_mib = max(cost.peak_mib, _resident_bytes() / 2**20)
            if done.wait(INTERVAL_S):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    started = time.monotonic()
    watcher.start()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        cost.seconds = time.monotonic() - started


def _resident_bytes() -> int:
    own = psutil.Process()
    total = 0
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # it ended between the two calls
            continue
    return total
