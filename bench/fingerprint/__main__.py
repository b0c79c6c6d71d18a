"""`python -m bench.fingerprint`: images a second on one core, for us and for others, on the same real images.

Counted is processor time, not wall time, since other programs may run; the tools take turns on some hundred files each,
so that a busy machine slows them all alike, and the best of several repeats counts. All run in one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from bench.command import ROOT, markdown, parser, status_of, write_json
from bench.environments import PEERS, UnavailableError, interpreter
from bench.processes import Child, child
from pipeline.core.errors import UserError

WORKER = Path(__file__).parent / "worker.py"
SUFFIXES = {".jpg", ".jpeg", ".png"}
TURN = 200  # images: short enough to meet the same disturbances, long enough for what a tool does once a list
REPEATS = 3  # the best of them counts
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB")}
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set on some machines for the sake of older libraries


@dataclass(frozen=True)
class Tool:
    """What is measured: the worker's name for it, which may be a peer's, and what it computes."""

    name: str
    computes: str


ARCHIVES = {"ham10000": "HAM10000_images_part_*.zip", "dermnet": "*.zip"}
OURS = "ours"
TOOLS = {
    OURS: Tool("ours", "pHash-256 in 8 orientations; 6 quality scores"),
    "imagehash pHash": Tool("imagehash_phash", "pHash-256"),
    "imagehash, all orientations": Tool("imagehash_all", "pHash-256 in 8 orientations"),
    "imagededup 0.3.3": Tool("imagededup", "pHash-64"),
    "cleanvision 0.3.7": Tool("cleanvision", "pHash-64; its default issues"),
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the results; return the exit status."""
    made = parser("bench.fingerprint", __doc__, "--ham10000", "--dermnet", "--write")
    made.add_argument("--images", type=int, default=1000, help="of every set, at most (default: 1000)")
    options = made.parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    sources = {name: folder for name in ARCHIVES if (folder := getattr(options, name))}
    if not sources:
        raise UserError("there is nothing to fingerprint: say --ham10000 FOLDER, --dermnet FOLDER or both")
    sets = {name: measure(name, folder, options.images) for name, folder in sources.items()}
    print(table(sets))
    write_json(options.write, lambda _: {"sets": sets}, in_order=False)


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


def seconds(tools: Mapping[str, Tool], paths: Sequence[Path]) -> dict[str, float | str]:
    """Measure tools on files: by title the processor time in seconds for all of them, or why there is none."""
    results: dict[str, float | str] = {}
    turns = [paths[start : start + TURN] for start in range(0, len(paths), TURN)]
    with ExitStack() as stack:
        running: dict[str, Child] = {}
        for title, tool in tools.items():
            try:
                running[title] = stack.enter_context(child(*_worker(tool)))
                _cost(running[title], paths[:20])  # loads what is loaded late
            except UnavailableError as error:
                results[title] = str(error)
                running.pop(title, None)
        best = {title: [float("inf")] * len(turns) for title in running}
        for _ in tqdm(range(REPEATS), desc="repeats", disable=None):
            for i, turn in enumerate(turns):
                for title, worker in running.items():
                    best[title][i] = min(best[title][i], _cost(worker, turn))
    return {title: results.get(title, sum(best.get(title, []))) for title in tools}


def _worker(tool: Tool) -> tuple[list[str | Path], dict[str, str]]:
    """Say how to start a tool's process, and with which variables."""
    ours = tool.name not in PEERS
    python = Path(sys.executable) if ours else interpreter(tool.name, PEERS[tool.name])
    variables = {name: value for name, value in os.environ.items() if name not in SLOWING}
    return [python, "-P", WORKER, tool.name], {**variables, **ONE_THREAD, "PYTHONPATH": str(ROOT) if ours else ""}


def _cost(worker: Child, paths: Sequence[Path]) -> float:
    worker.tell(json.dumps([str(path) for path in paths]))
    return float(worker.hear())


def lay_out(source: Path, folder: Path, *, archives: str, count: int) -> list[Path]:
    """Write at most `count` images that lie evenly among those of a source, by name, into a new folder.

    The source's archives are named by a pattern; where it fits none, the source's own files are the images.

    Raises:
        UserError: the source holds no images.

    """
    readers: dict[str, Callable[[], bytes]] = {}
    for path in sorted(source.glob(archives)):
        archive = zipfile.ZipFile(path)
        readers |= {name: partial(archive.read, name) for name in archive.namelist()}
    if not readers:
        readers = {str(path.relative_to(source)): path.read_bytes for path in source.rglob("*") if path.is_file()}
    names = sorted(name for name in readers if Path(name).suffix.lower() in SUFFIXES)
    if not names:
        raise UserError(f"{source} holds no images, and no {archives} with some: name the folder of a source")
    folder.mkdir(parents=True)
    paths = []
    for i in range(min(count, len(names))):
        name = names[i * len(names) // min(count, len(names))]
        paths.append(folder / f"{i:06d}{Path(name).suffix.lower()}")
        paths[-1].write_bytes(readers[name]())
    return paths


def table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out the results as Markdown."""
    titles = [f"{name}, {one['images']} images" for name, one in sets.items()]
    rows = [[title, tool.computes, *(_cell(title, one) for one in sets.values())] for title, tool in TOOLS.items()]
    return markdown(["images a second on one core", "computes", *titles], rows)


def _cell(title: str, found: Mapping[str, Any]) -> str:
    if title in found["not_measured"]:
        return str(found["not_measured"][title])
    rate = f"{found['images_per_second'][title]:,.0f}"
    return rate if title == OURS else f"{rate} (we: {found['times_faster'][title]} times as many)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
