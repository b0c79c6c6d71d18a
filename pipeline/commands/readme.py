"""`readme`: quote docs/results/*.json in README.md, so that no figure there is typed by hand."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.sections import Section, sections
from pipeline.core.errors import UserError

# Which tables of a profile's results are quoted: those whose titles begin so.
QUOTED = {
    "demo": ("Planted", "Models", "Gain"),
    "ham10000": ("Data", "Splits", "Arms", "Models", "Gain", "Stages"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options: none."""
    del parser


def run(root: Path, options: argparse.Namespace) -> None:
    """Fill the places of README.md that results belong to."""
    del options
    path = root / "README.md"
    path.write_text(fill(path.read_text("utf-8"), root / "docs/results"), "utf-8")
    print("README.md quotes docs/results")


def fill(text: str, folder: Path) -> str:
    """Replace what stands between `<!-- <profile>: begin -->` and `<!-- <profile>: end -->` by the profile's tables.

    Args:
        text: of the README.
        folder: holds `<profile>.json`, as `results --write` writes it; a profile without one is left as it is.

    Raises:
        UserError: the README has no place for a profile.

    """
    for profile, titles in QUOTED.items():
        source = folder / f"{profile}.json"
        if not source.exists():
            continue
        place = re.compile(rf"(<!-- {profile}: begin -->\n).*?(<!-- {profile}: end -->)", re.DOTALL)
        if not place.search(text):
            raise UserError(f"README.md has no place for {profile}: add <!-- {profile}: begin --> and the end likewise")
        shown = [s for s in sections(json.loads(source.read_text("utf-8"))) if s.title.startswith(titles)]
        quoted = "\n".join(markdown(section) for section in shown)
        text = place.sub(lambda match, quoted=quoted: f"{match[1]}{quoted}{match[2]}", text)  # type: ignore[misc]
    return text


def markdown(section: Section) -> str:
    """Write one table in Markdown."""
    lines = [f"**{section.title}**", "", _row(section.heads), _row(["---"] * len(section.heads))]
    lines += [_row(["" if cell is None else str(cell) for cell in row]) for row in section.rows]
    notes = [note for line in section.notes for note in (line, "")]
    return "\n".join([*lines, "", *notes, ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
