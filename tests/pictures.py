"""Takes the pictures of docs/pictures/ that show the report: `python -m tests.pictures` after `make demo`.

Only of the demo, whose images are drawn: no photograph of skin may be in git.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import browser
from tests.project import ROOT

FOLDER = ROOT / "docs/pictures"
PATIENCE_MS = 600_000  # against hanging
SCREEN = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 800}
# file: window, colours, what of the page (None: what the window shows first)
PICTURES: dict[str, tuple[dict[str, int], str, str | None]] = {
    "report.png": (SCREEN, "light", None),
    "report_suspects.jpg": (SCREEN, "light", "#suspects .grid"),
    "report_gain.png": (SCREEN, "light", "#models .plots"),
}
QUALITY = 70  # of a JPEG

Listeners = Mapping[str, Callable[[Any], object]]


def open_report(
    opened: Any, page: Path, *, window: dict[str, int], colours: str, listen: Listeners | None = None
) -> Any:
    """Open the report in a browser; return playwright's page when all plots and pictures are there.

    Args:
        opened: from `browser.launched`.
        page: the report.
        window: its size in pixels.
        colours: light or dark, as the reader prefers.
        listen: by event of the page what is told of it.

    """
    tab = opened.new_page(viewport=window, color_scheme=colours)
    tab.set_default_timeout(PATIENCE_MS)
    for event, told in (listen or {}).items():
        tab.on(event, told)
    tab.goto(page.as_uri())
    tab.wait_for_function("[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))")
    tab.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    tab.wait_for_function("[...document.images].every((image) => image.complete)")
    return tab


def take(page: Path, folder: Path, opened: Any) -> list[Path]:
    """Take all pictures of a report into a folder; return their paths."""
    paths = []
    for name, (window, colours, place) in PICTURES.items():
        tab = open_report(opened, page, window=window, colours=colours)
        path = folder / name
        options: dict[str, Any] = {"type": "jpeg", "quality": QUALITY} if path.suffix == ".jpg" else {}
        (tab.locator(place).first if place else tab).screenshot(path=path, **options)
        tab.close()
        paths.append(path)
    return paths


def main(words: Sequence[str]) -> None:
    """Take the pictures of the report of this project, or of the one at the path given."""
    page = Path(words[0] if words else ROOT / "reports/index.html").resolve()
    with browser.launched() as opened:
        for path in take(page, FOLDER, opened):
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
