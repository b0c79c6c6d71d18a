"""What commands on a project's batch have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import UserError


def batch_parser(module: str, doc: str | None, *, folder: str, project: str) -> argparse.ArgumentParser:
    """Declare FOLDER, --project and --batch of `python -m <module>`; `folder` and `project` say what they are."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=doc)
    parser.add_argument("folder", type=Path, help=folder)
    parser.add_argument("--project", type=Path, required=True, help=project)
    parser.add_argument("--batch", required=True, help="its batch, such as ham10000")
    return parser


def status_of(step: Callable[[], None]) -> int:
    """Run a command's work and return its exit status; what a user can mend is printed, without a traceback."""
    try:
        step()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
