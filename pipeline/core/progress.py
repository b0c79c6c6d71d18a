"""Progress: what a step does, how far it is, and how long it will take; a bar in a terminal, lines in a log.

One rule for everything that may take long. A step of less than SHOWN_AFTER_S shows at most its name. A longer one is a
bar of tqdm's in a terminal; elsewhere (a file, a pipe, CI) it is a line every EVERY_S, without control characters:

    dedup > verify pairs: 30%, 12 of 40 parts, 00:31 gone, about 01:12 left

A thread of its own writes both, so that a step whose next part takes minutes moves as well. What is left is the mean
time of what is done times what is not. All of it goes to standard error; in worker processes nothing is followed. What
is printed beside it goes through `say`, or it would meet a bar on its line.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Never, TypeVar

from tqdm import tqdm

SHOWN_AFTER_S = 5.0  # a step that ends before is not worth a word
EVERY_S = 8.0  # between two lines of a log
TICK_S = 0.25
WITH_TOTAL = (
    "{desc}: {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} {unit} [{elapsed} gone, {remaining} left{postfix}]"
)
WITHOUT = "{desc}: {elapsed} gone"

Item = TypeVar("Item")


@dataclass(eq=False)
class Step:
    """Something under way.

    label: what is done.
    total: how many parts it has; None: nobody knows.
    unit: what a part is, in the plural.
    first: parts that were done before, by an earlier run.
    done: parts done, those of `first` included; whoever has opened the step sets it, shares of a part too.
    note: what else there is to say of it, such as a loss.
    """

    label: str
    total: float | None = None
    unit: str = "parts"
    first: float = 0.0
    done: float = 0.0
    note: str = ""
    started: float = field(default_factory=time.monotonic)
    said: bool = False
    bar: tqdm[Never] | None = None

    def tell(self, now: float) -> str:
        """Say in a line how far it is."""
        gone = f"{tqdm.format_interval(now - self.started)} gone"
        if self.total is None:
            return f"{self.label}: {gone}"
        share = self.done / self.total if self.total else 1.0
        done = f"{share:.0%}, {int(self.done)} of {int(self.total)} {self.unit}"
        return f"{self.label}: {', '.join(filter(None, [done, gone, self.left(now), self.note]))}"

    def left(self, now: float) -> str:
        """Say how long the rest will take."""
        if self.total is None or self.done <= self.first:
            return "time left not known yet"
        rest = (now - self.started) * (self.total - self.done) / (self.done - self.first)
        return f"about {tqdm.format_interval(max(rest, 0.0))} left"


_steps: list[Step] = []  # under way, the outermost first
_lock = threading.RLock()
_watcher: threading.Thread | None = None  # while there are steps
_last_line = -EVERY_S  # when this process last wrote one to a log


@contextmanager
def step(label: str, total: float | None = None, *, unit: str = "parts", first: float = 0.0) -> Iterator[Step]:
    """Follow something that reports by itself, by setting `done`, or whose parts nobody can count."""
    global _watcher  # noqa: PLW0603 - a process has one standard error
    opened = Step(label, total, unit, first, done=first)
    with _lock:
        _steps.append(opened)
        if _watcher is None:
            _watcher = threading.Thread(target=_watch, daemon=True)
            _watcher.start()
    try:
        yield opened
    finally:
        with _lock:
            _close(opened)
            _steps[:] = [other for other in _steps if other is not opened]


def track(items: Iterable[Item], label: str, *, unit: str = "parts", total: float | None = None) -> Iterator[Item]:
    """Yield items, and follow how many of them are done.

    Args:
        items: the work.
        label: what is done.
        unit: what an item is, in the plural.
        total: how many they are, where `items` has no length.

    """
    with step(label, len(items) if isinstance(items, Sized) else total, unit=unit) as opened:
        for number, item in enumerate(items, start=1):
            yield item
            opened.done = number


def advance(share: float) -> None:
    """Add a share of a part to the innermost step of this process, where there is one."""
    with _lock:
        if _steps:
            _steps[-1].done += share


def within(items: Iterable[Item], of: int) -> Iterator[Item]:
    """Yield items, `of` of which are a part of the innermost step: so a step of few long parts moves as well."""
    for item in items:
        yield item
        advance(1 / of)


def say(line: str) -> None:
    """Print a line to standard error, above the bars if there are any."""
    with suppress(OSError, ValueError):  # nobody reads it any more: no reason to stop
        tqdm.write(f"{line}\n", file=sys.stderr, end="")
        sys.stderr.flush()


def _watch() -> None:
    """Show what is under way, until nothing is."""
    global _watcher  # noqa: PLW0603 - likewise
    while True:
        time.sleep(TICK_S)
        with _lock:
            if not _steps:
                _watcher = None
                return
            now = time.monotonic()
            if sys.stderr.isatty():
                _draw(now)
            else:
                _write(now)


def _draw(now: float) -> None:
    """Bring the bars of all steps of some length up to date."""
    for shown in _steps:
        if shown.bar is None and now - shown.started >= SHOWN_AFTER_S:
            bar = tqdm(
                desc=shown.label,
                total=shown.total,
                initial=shown.first,
                unit=shown.unit,
                bar_format=WITHOUT if shown.total is None else WITH_TOTAL,
                leave=None,  # of nested ones the outermost stays
            )
            bar.start_t -= now - shown.started
            shown.bar = bar
        if shown.bar is not None:
            shown.bar.n = shown.done
            shown.bar.set_postfix_str(shown.note, refresh=True)


def _write(now: float) -> None:
    """Write a line, if it is time."""
    global _last_line  # noqa: PLW0603 - likewise
    if now - _last_line < EVERY_S or now - _steps[0].started < SHOWN_AFTER_S:
        return
    _last_line = now
    *around, inner = [one for one in _steps if now - one.started >= SHOWN_AFTER_S]
    inner.said = True
    begun = " > ".join(one.label for one in _steps if now - one.started < SHOWN_AFTER_S)
    say(" > ".join([*(_where(other) for other in around), inner.tell(now)]) + (f" ({begun})" if begun else ""))


def _where(outer: Step) -> str:
    return outer.label if outer.total is None else f"{outer.label} {int(outer.done)} of {int(outer.total)}"


def _close(ended: Step) -> None:
    """Leave the bar as it was last, or end what was begun in a log."""
    if ended.bar is not None:
        ended.bar.n = ended.done
        ended.bar.close()
    elif ended.said and ended.total is not None:
        took = tqdm.format_interval(time.monotonic() - ended.started)
        say(f"{ended.label}: {int(ended.done)} of {int(ended.total)} {ended.unit} in {took}")
