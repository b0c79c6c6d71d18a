"""`quote`: quote docs/results/*.json in README.md and docs/results.md, so that no figure there is typed by hand."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.sections import Section, sections
from pipeline.core.errors import UserError

# Which tables of a profile's results are quoted: those whose titles begin so.
QUOTED = {
    "demo": ("Planted", "Models", "Ensemble", "Gain"),
    "ham10000": ("Data", "Splits", "Arms", "Models", "Ensemble", "Gain", "Stages"),
}
# The rows of the README's table: a setting of duplicates.json, and a cell of label_noise.json.
COPIES = {
    "copies of 51 kinds, HAM10000": "ham10000 kinds",
    "copies of 51 kinds, DermNet": "dermnet kinds",
}
WRONG_LABELS = {
    "10% wrong labels anywhere, HAM10000": ("ham10000", "uniform, 10%"),
    "… among nevi, melanomas, keratoses": ("ham10000", "confused, 10%"),
    "… where a weak classifier is unsure": ("ham10000", "feature-dependent, 10%"),
    "10% wrong labels anywhere, DermNet": ("dermnet12", "uniform, 10%"),
}
DIGITS = 3  # of a figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options: none."""
    del parser


def run(root: Path, options: argparse.Namespace) -> None:
    """Fill the places of README.md and docs/results.md that results belong to."""
    del options
    for page, blocks in quotes(root / "docs/results").items():
        path = root / page
        path.write_text(fill(path.read_text("utf-8"), page, blocks), "utf-8")
        print(f"{page} quotes docs/results")


def quotes(folder: Path) -> dict[str, dict[str, str]]:
    """Say what each page quotes, by the name of the place.

    Args:
        folder: holds `<profile>.json`, as `results --write` writes it, and the JSON of benchmarks; what is not there
            is not quoted.

    """
    results = {name: _read(folder, name) for name in (*QUOTED, "duplicates", "label_noise")}
    profiles = {name: results[name] for name in QUOTED if results[name]}
    runs = {
        name: "\n".join(markdown(shown) for shown in sections(results) if shown.title.startswith(QUOTED[name]))
        for name, results in profiles.items()
    }
    compared = results["duplicates"], results["label_noise"]
    return {"README.md": {"headline": markdown(headline(*compared))} if any(compared) else {}, "docs/results.md": runs}


def headline(duplicates: Mapping[str, Any], label_noise: Mapping[str, Any]) -> Section:
    """Lay out our average precision beside that of the best competitor, a row a task.

    Args:
        duplicates: docs/results/duplicates.json; its rows are left out where it is empty.
        label_noise: docs/results/label_noise.json, likewise.

    """
    tasks = {what: duplicates["settings"][setting]["finders"] for what, setting in COPIES.items() if duplicates}
    tasks |= {
        what: label_noise["noise"][data]["cells"][cell]["methods"]
        for what, (data, cell) in WRONG_LABELS.items()
        if label_noise
    }
    rows = []
    for what, methods in tasks.items():
        precision = {name: figures["average_precision"] for name, figures in methods.items()}
        best = max((name for name in precision if not name.startswith("ours")), key=precision.__getitem__)
        rows.append((what, f"{precision['ours']:.{DIGITS}f}", f"{precision[best]:.{DIGITS}f}", best))
    return Section("Average precision", ["planted", "ours", "best competitor", "which"], rows)


def fill(text: str, page: str, blocks: Mapping[str, str]) -> str:
    """Replace what stands between `<!-- <place>: begin -->` and `<!-- <place>: end -->`.

    Args:
        text: of the page.
        page: its path, for the error.
        blocks: Markdown by the name of the place.

    Raises:
        UserError: the page has no such place.

    """
    for name, block in blocks.items():
        place = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        if not place.search(text):
            raise UserError(f"{page} has no place for {name}: add <!-- {name}: begin --> and the end likewise")
        text = place.sub(lambda match, block=block: f"{match[1]}{block}{match[2]}", text)  # type: ignore[misc]
    return text


def markdown(section: Section) -> str:
    """Write one table in Markdown."""
    lines = [f"**{section.title}**", "", _row(section.heads), _row(["---"] * len(section.heads))]
    lines += [_row(["" if cell is None else str(cell) for cell in row]) for row in section.rows]
    notes = [note for line in section.notes for note in (line, "")]
    return "\n".join([*lines, "", *notes, ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    result: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return result
