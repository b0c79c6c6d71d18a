"""`fetch <source> …`: bring something to data/raw, then tell DVC and git of it.

`dvc exp run` deletes raw data whose `.dvc` file git does not know, so fetching ends with `dvc add` and `git add`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.progress import step

# A source's module has `add_arguments(parser)` and `run(root, options)`, which returns the folders that it wrote.
SOURCES = {
    "demo": ("pipeline.demo.draw", "a drawn scrape with planted defects"),
    "ham10000": ("pipeline.fetch.ham10000", "the HAM10000 archives, from a folder or the Harvard Dataverse"),
    "weights": ("pipeline.fetch.weights", "the networks' weights that params.yaml names"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options; each source has its own beyond."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "sources:\n" + "\n".join(f"  {name:<9} {summary}" for name, (_, summary) in SOURCES.items())
    parser.add_argument("source", choices=SOURCES, help="`fetch SOURCE --help` shows its options")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(root: Path, options: argparse.Namespace) -> None:
    """Run one source's module, then track what it wrote."""
    name, summary = SOURCES[options.source]
    module = import_module(name)
    parser = argparse.ArgumentParser(prog=f"python -m pipeline fetch {options.source}", description=summary)
    module.add_arguments(parser)
    written: list[Path] = module.run(root, parser.parse_args(options.rest))
    track(root, written)


def track(root: Path, folders: Sequence[Path]) -> None:
    """`dvc add` each folder and `git add` its .dvc file; outside a DVC project in git, do nothing.

    Raises:
        UserError: dvc or git refuses.

    """
    if not folders or not (root / ".dvc").is_dir() or not (root / ".git").exists():
        return
    names = [str(folder.relative_to(root)) for folder in folders]
    with step(f"dvc add {' '.join(names)}"):
        _call(root, [sys.executable, "-m", "dvc", "add", "--quiet", *names])
    _call(root, ["git", "add", "--", *(f"{name}.dvc" for name in names)])
    for name in names:
        print(f"{name} is tracked: commit {name}.dvc when it should stay")


def _call(root: Path, command: list[str]) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise UserError(f"`{' '.join(command)}` failed ({said[-1]}): mend that, then run it by hand")
