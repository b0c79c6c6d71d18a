"""`python -m bench.fingerprint`: images a second on one core, for us and for others, on the same real pictures.

Counted is processor time, not wall time, since other programs may run; the tools take turns on some hundred files each,
and the best of several repeats counts. All run in one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.fingerprint.measuring import Tool, seconds
from bench.fingerprint.pictures import lay_out
from pipeline.core.errors import UserError

ARCHIVES = {"ham10000": "HAM10000_images_part_*.zip", "dermnet": "*.zip"}
OURS = "ours"
TOOLS = {
    OURS: Tool("ours", "pHash-256 in 8 orientations; 6 quality scores"),
    "imagehash pHash": Tool("imagehash_phash", "pHash-256"),
    "imagehash, all orientations": Tool("imagehash_all", "pHash-256 in 8 orientations"),
    "imagededup 0.3.3": Tool("imagededup", "pHash-64", ("imagededup==0.3.3.post2",)),
    "cleanvision 0.3.7": Tool("cleanvision", "pHash-64; its default issues", ("cleanvision==0.3.7",)),
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the results; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        sets = {name: measure(name, folder, options.images) for name, folder in _sources(options).items()}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(sets))
    if options.write:
        options.write.write_text(json.dumps({"sets": sets}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


def measure(name: str, source: Path, count: int) -> dict[str, Any]:
    """Measure all tools on one set: images a second on one core, or why a tool could not be measured."""
    with TemporaryDirectory() as folder:
        paths = lay_out(source, Path(folder) / name, archives=ARCHIVES[name], count=count)
        spent = seconds(TOOLS, paths)
    measured = {title: value for title, value in spent.items() if isinstance(value, float)}
    return {
        "images": len(paths),
        "images_per_second": {title: round(len(paths) / value, 1) for title, value in measured.items()},
        "times_faster": {title: round(value / measured[OURS], 2) for title, value in measured.items()},
        "not_measured": {title: value for title, value in spent.items() if isinstance(value, str)},
    }


def table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out the results as Markdown."""
    titles = [f"{name}, {found['images']} images" for name, found in sets.items()]
    lines = [f"| images a second on one core | computes | {' | '.join(titles)} |", "|---" * (2 + len(sets)) + "|"]
    for title, tool in TOOLS.items():
        lines.append(f"| {title} | {tool.computes} | {' | '.join(_cell(title, found) for found in sets.values())} |")
    return "\n".join(lines)


def _cell(title: str, found: Mapping[str, Any]) -> str:
    if title in found["not_measured"]:
        return str(found["not_measured"][title])
    rate = f"{found['images_per_second'][title]:,.0f}"
    return rate if title == OURS else f"{rate} (we: {found['times_faster'][title]} times as many)"


def _sources(options: argparse.Namespace) -> dict[str, Path]:
    """Say which sources the options name.

    Raises:
        UserError: none.

    """
    sources = {name: folder for name in ARCHIVES if (folder := getattr(options, name))}
    if not sources:
        raise UserError("there is nothing to fingerprint: say --ham10000 FOLDER, --dermnet FOLDER or both")
    return sources


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fingerprint", description=__doc__)
    add = parser.add_argument
    add("--ham10000", type=Path, metavar="FOLDER", help="the archives as the Harvard Dataverse publishes them")
    add("--dermnet", type=Path, metavar="FOLDER", help="class-named folders of clinical photographs, zipped or not")
    add("--images", type=int, default=1000, help="of every set, at most (default: 1000)")
    add("--write", type=Path, metavar="JSON", help="also write the results, to docs/results/fingerprint.json say")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
