"""What the commands share: options by name, the exit status, results beside earlier ones, params and Markdown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench.parts import ALL, CHOICES, REPORT
from pipeline.core.errors import UserError
from pipeline.params import instances, stage_params

ROOT = Path(__file__).parents[1]
OPTIONS: dict[str, dict[str, Any]] = {
    "folder": {"type": Path, "help": "of what is planned, and of what is fitted"},
    "--ham10000": {"type": Path, "metavar": "FOLDER", "help": "the archives as the Harvard Dataverse publishes them"},
    "--dermnet": {"type": Path, "metavar": "FOLDER", "help": "class-named folders of clinical images, zipped or not"},
    "--project": {"type": Path, "default": ROOT, "help": "that is ingested, embedded and deduplicated (default: this)"},
    "--batch": {"help": "of the project, such as ham10000"},
    "--lesions": {
        "choices": [ALL, CHOICES, REPORT],
        "default": ALL,
        "help": "of the batch: an image a lesion of those that are chosen on, or reported (default: all images)",
    },
    "--profile": {"type": Path, "default": ROOT / "profiles/ham10000.yaml", "help": "our params (default: ham10000)"},
    "--weights": {"type": Path, "help": "of the encoder, as `python -m pipeline fetch weights` brings them"},
    "--cache": {"type": Path, "default": ROOT / "bench/.cache", "help": "finished work (default: bench/.cache)"},
    "--workers": {"type": int, "default": 1, "help": "networks that are trained at a time"},
    "--write": {"type": Path, "metavar": "JSON", "help": "also write figures, into a file of docs/results say"},
}

Params = TypeVar("Params")


def parser(module: str, doc: str | None, *options: str, required: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Make the parser of `python -m <module>` with some of `OPTIONS`; it may be given further ones."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=doc)
    for name in options:
        made.add_argument(name, **OPTIONS[name])
    for name in required:
        made.add_argument(name, **OPTIONS[name], required=True)
    return made


def status_of(step: Callable[[], None]) -> int:
    """Run a command's work and return its exit status; what a user can mend is printed, without a traceback."""
    try:
        step()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def write_json(
    path: Path | None, join: Callable[[dict[str, Any]], Mapping[str, Any]], *, in_order: bool
) -> Mapping[str, Any]:
    """Write results, if a path is given; return what is written.

    Args:
        path: of a JSON file.
        join: from what the file holds, {} if there is none, to what it shall hold.
        in_order: sort keys.

    """
    joined = join(json.loads(path.read_text("utf-8")) if path is not None and path.exists() else {})
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(joined, indent=1, ensure_ascii=False, sort_keys=in_order)
        path.write_text(text + "\n", "utf-8")
    return joined


def section(tree: Mapping[str, Any], stage: str, kind: type[Params], *, instance: str | None = None) -> Params:
    """Take what a stage would receive out of a checked params.yaml: of an instance, or of the first that it lists."""
    found = stage_params(tree, stage, instance or instances(tree, stage)[0])
    assert isinstance(found, kind)  # noqa: S101 - `stage_params` builds the stage's own class
    return found


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> str:
    """Write a table, its title above it; nothing where there are no rows."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([f"**{title}**", "", *lines] if title else lines)
