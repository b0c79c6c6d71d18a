"""`python -m bench.desk`: how long the steward's desk lets one wait, in a headless browser.

It opens a queue twice, and presses `k` on one case after the other: decisions of a steward who is called `bench`
come into the project's ledger, so give it a copy. It needs Chromium and the package playwright, as browser tests do.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import browser
from bench.command import markdown, parser, status_of, write_json
from pipeline.core.errors import UserError

PANEL = "#modal [data-cy=panel-content-steward]"
NAME = f"{PANEL} h3 + p span"  # of the image
PATIENCE_MS = 120_000
AT = re.compile(r"the App is at (\S+)")
# The App says when a picture is on its canvas; the script of the panel says when an answer came.
LISTEN = """
window.__pictures = [];
document.addEventListener("canvas-loaded", () => window.__pictures.push(performance.now()));
"""
PRESS = """
key => new Promise((resolve, reject) => {
  let start = performance.now();
  const name = () => (document.querySelector("NAME") || {}).textContent;
  const before = name(), pictures = window.__pictures.length;
  const said = {}, type = key => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  window.__steward_ms = 0;
  type(key);
  (function look() {
    const now = performance.now(), shown = name();
    if (document.querySelector("#steward-question")) { // on test: why
      window.__steward_ms = 0;
      start = now;
      type("1");
    }
    if (window.__steward_ms && !said.answer) said.answer = window.__steward_ms;
    if (shown && shown !== before && !said.panel) said.panel = now - start;
    if (window.__pictures.length > pictures && !said.picture) said.picture = window.__pictures[pictures] - start;
    if (said.answer && said.panel && said.picture) resolve(said);
    else if (now - start > 20000) reject(new Error("no next case: " + JSON.stringify(said)));
    else setTimeout(look, 5);
  })();
})
""".replace("NAME", NAME)


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and write a section of the JSON if asked."""
    made = parser("bench.desk", __doc__, "--project", "--write")
    made.add_argument("--queue", default="audit", help="labels or audit (default: audit)")
    made.add_argument("--keys", type=int, default=30, help="cases that are decided (default: 30)")
    options = made.parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if browser.binary() is None:
        raise UserError(browser.LACKING)
    found: dict[str, Any] = {}
    for how in ("cold", "warm"):  # the first builds the queue's dataset
        with browser.launched() as opened:
            started = time.monotonic()
            with session(options.project, options.queue) as url:
                address = time.monotonic() - started
                page = opened.new_page(viewport={"width": 1500, "height": 900})
                page.set_default_timeout(PATIENCE_MS)
                page.add_init_script(LISTEN)
                page.goto(url)
                page.locator(NAME).first.wait_for()
                page.wait_for_function("window.__pictures.length > 0")
                found[how] = {"address_s": round(address, 1), "first_case_s": round(time.monotonic() - started, 1)}
                page.wait_for_timeout(2000)
                waits = [press(page) for _ in range(options.keys)] if how == "warm" else []
    kinds = ("answer", "panel", "picture")
    found["keys"] = {kind: spread([wait[kind] for wait in waits]) for kind in kinds}
    rows = [[how, f"{found[how]['address_s']} s", f"{found[how]['first_case_s']} s"] for how in ("cold", "warm")]
    print(markdown(["open", "to the address", "to the first case"], rows))
    rows = [[kind, *(f"{value} ms" for value in found["keys"][kind].values())] for kind in kinds]
    print(markdown(["from key to", "median", "nine of ten within", "at most"], rows))
    write_json(options.write, lambda whole: whole | {options.queue: found}, in_order=True)


@contextmanager
def session(project: Path, queue: str) -> Iterator[str]:
    """Open the App, and yield its address; Ctrl-C ends it."""
    words = ["review", "--queue", queue, "--steward", "bench", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pipeline", *words],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for
    try:
        for line in process.stdout:
            if at := AT.search(line):
                yield at[1]
                break
        else:
            raise UserError(f"the App did not open in {project}: try `python -m pipeline {' '.join(words)}` there")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def press(page: Any) -> dict[str, float]:  # noqa: ANN401 - playwright is not in the lock
    """Press `k`, and say in ms when the answer came, when the panel named the next case, and when its picture stood."""
    waits: dict[str, float] = page.evaluate(PRESS, "k")
    page.wait_for_timeout(1500)  # a steward looks
    return waits


def spread(values: Sequence[float]) -> dict[str, int]:
    """Say the median, the ninth decile and the largest."""
    return {name: round(float(np.quantile(values, at))) for name, at in (("median", 0.5), ("p90", 0.9), ("max", 1.0))}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
