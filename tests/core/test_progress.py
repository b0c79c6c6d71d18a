from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pipeline.core import progress
from pipeline.core.engine import map_shards
from pipeline.core.progress import Step, advance, step, track, within
from tests.project import ROOT, environment

COUNTED = r"(\d+%, \d+ of \d+ \w+, )?"
LEFT = r"(, about \d\d:\d\d left|, time left not known yet)?"
LINE = re.compile(rf"(.* > )?[^>]+: {COUNTED}\d\d:\d\d gone{LEFT}( \(.+\))?")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are long in a test."""
    monkeypatch.setattr(progress, "EVERY_S", 0.2)
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0.2)
    monkeypatch.setattr(progress, "TICK_S", 0.02)


@pytest.mark.usefixtures("hasty")
def test_a_log_gets_lines_with_what_is_done_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with step("dedup"):
        for _ in track(range(4), "verify pairs", unit="pairs"):
            time.sleep(0.3)
    *lines, last = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert all(LINE.fullmatch(line) for line in lines)
    assert all(line.startswith("dedup > verify pairs: ") for line in lines[1:])
    assert re.search(r"[123] of 4 pairs, .* about 00:\d\d left$", lines[-1])
    assert re.fullmatch(r"verify pairs: 4 of 4 pairs in 00:\d\d", last)


def test_what_takes_no_time_is_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(1000), "count")) == list(range(1000))
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("hasty")
def test_a_step_that_never_gets_on_is_heard_of_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with step("train the index"):
        time.sleep(0.7)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert all(re.fullmatch(r"train the index: 00:\d\d gone", line) for line in lines)


@pytest.mark.usefixtures("hasty")
def test_silence_counts_from_the_last_line_not_from_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a hundred short steps, one after the other, are no silence either."""
    with step("label_noise"):
        for number in range(10):
            with step(f"part {number}"):
                time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert all(re.match(r"label_noise(: 00:\d\d gone \(part \d\)| > part \d: )", line) for line in lines)


def test_time_left_is_the_mean_time_of_what_this_run_did() -> None:
    running = Step("embed", 10, "parts", first=4, done=6, started=100.0)
    assert running.tell(120.0) == "embed: 60%, 6 of 10 parts, 00:20 gone, about 00:40 left"
    assert Step("embed", 10, "parts", first=4, done=4, started=100.0).left(120.0) == "time left not known yet"
    begun = Step("embed", 2, "parts", done=0.5, started=0.0)
    assert begun.tell(30.0) == "embed: 25%, 0 of 2 parts, 00:30 gone, about 01:30 left"


def test_shares_of_a_part_count_for_the_innermost_step() -> None:
    advance(0.5)  # with nothing under way: nothing
    with step("outer", 2) as outer, step("inner", 2) as inner:
        assert list(within("abcd", 4)) == list("abcd")
        advance(0.5)
    assert (outer.done, inner.done) == (0, 1.5)


def test_a_loop_that_is_left_early_is_followed_no_longer() -> None:
    for number in track(range(5), "train", unit="epochs"):
        if number == 2:
            break
    assert progress._steps == []


def slow(number: int) -> int:
    for _ in within(range(10), 10):
        time.sleep(0.05)
    return number


@pytest.mark.usefixtures("hasty", "one_core")
def test_shards_found_in_a_scratch_folder_do_not_count_as_fast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = map_shards(slow, range(4), label="embed", scratch=tmp_path)
    assert [next(half), next(half)] == [0, 1]
    half.close()  # type: ignore[attr-defined]
    capsys.readouterr()
    assert list(map_shards(slow, range(4), label="embed", scratch=tmp_path)) == [0, 1, 2, 3]
    *lines, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"embed: [5-9]\d%, [23] of 4 parts, 00:\d\d gone, about 00:\d\d left", lines[0])
    assert re.fullmatch(r"embed: 4 of 4 parts in 00:\d\d", last)


BAR = """
import time
from pipeline.core import progress
progress.SHOWN_AFTER_S = 0.3
with progress.step("dedup"):
    for _ in progress.track(range(3), "short"):
        pass
    for _ in progress.track(range(4), "verify pairs", unit="pairs"):
        time.sleep(0.4)
    progress.say("warning: odd")
"""


def test_a_terminal_gets_a_bar_that_moves_while_a_part_is_under_way() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen([sys.executable, "-c", BAR], cwd=ROOT, env=environment(), stderr=theirs) as shown:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # Linux says so when the other side has closed
            pass
    os.close(ours)
    text = seen.decode()
    assert shown.returncode == 0
    assert re.search(r"verify pairs:  ?\d+% \|.*\| 2 of 4 pairs \[00:0\d gone, 00:0\d left\]", text)
    assert "short" not in text
    assert re.search(r"\r *(\x1b\[A)?\rwarning: odd\r\n", text), "on a line of its own"
    assert text.count("\r") > 8
    assert "dedup: 00:0" in text.rstrip().rsplit("\r", 1)[-1], "the outermost stays"
