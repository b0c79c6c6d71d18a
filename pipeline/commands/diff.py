"""`diff REV REV`: which images entered or left the curated arm or changed diagnosis or split, each with its reason.

The tables of a revision come from DVC's cache, by what `dvc.lock` says there; so every commit and every experiment of
which the cache is there can be compared. `workspace` is the run in this folder.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.commands.layout import table
from pipeline.core.errors import UserError
from pipeline.core.progress import step
from pipeline.core.store import Store
from pipeline.stages.rebalance.tables import HEADLINE_ARM, Exclusions, Selection
from pipeline.stages.replay.tables import Decisions

WORKSPACE = "workspace"
FILES = tuple(
    f"data/{kind.stage()}/{folder}{kind.file_name()}"
    for kind, folder in ((Selection, f"{HEADLINE_ARM}/"), (Exclusions, f"{HEADLINE_ARM}/"), (Decisions, ""))
)


Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Arm:
    """The curated arm at one revision: the rows of Selection, Exclusions and Decisions, by image_id."""

    selection: Rows
    exclusions: Rows
    decisions: Rows


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("before", metavar="REV", help="a git revision or a DVC experiment")
    parser.add_argument("after", metavar="REV", nargs="?", default=WORKSPACE, help="likewise (default: %(default)s)")


def run(root: Path, options: Namespace) -> None:
    """Print every image that is another, and how many of each kind.

    Raises:
        UserError: a revision is unknown, or its tables are not in the cache.

    """
    rows = compare(read_arm(root, options.before), read_arm(root, options.after))
    if rows:
        print(table(("image", "change", "from", "to", "reason"), rows), end="\n\n")
    counts = Counter(row[1] for row in rows)
    print(", ".join(f"{count} {change}" for change, count in sorted(counts.items())) or "the curated arm is the same")


def read_arm(root: Path, revision: str) -> Arm:
    """Read the curated arm of a revision, or of the `workspace`.

    Raises:
        UserError: it is unknown, or its tables are not there.

    """
    if revision == WORKSPACE:
        return _read(Store(root))
    with tempfile.TemporaryDirectory() as folder, step(f"read {revision}"):
        _fetch(root, revision, Path(folder))
        return _read(Store(Path(folder)))


def compare(before: Arm, after: Arm) -> list[tuple[str, str, str, str, str]]:
    """List what is other: image_id, change, from, to, reason; sorted by image."""
    a, b = before.selection, after.selection
    rows = []
    for image in sorted({*a, *b}):
        if image not in a:
            rows.append((image, "entered", "", b[image]["split"], _why_entered(image, before, after)))
        elif image not in b:
            rows.append((image, "left", a[image]["split"], "", _why_out(image, after)))
        else:
            old, new = a[image], b[image]
            if old["diagnosis"] != new["diagnosis"]:
                rows.append((image, "diagnosis", old["diagnosis"], new["diagnosis"], _why_label(image, before, after)))
            if old["split"] != new["split"]:
                group = f"group {old['group_id']}, now {new['group_id']}"
                rows.append((image, "split", old["split"], new["split"], group))
    return rows


def _why_entered(image: str, before: Arm, after: Arm) -> str:
    if image not in before.exclusions:
        return "it was not among the images"
    said = f"; now {_verdict(image, after)}" if image in after.decisions else ""
    return f"it was out: {_why_out(image, before)}{said}"


def _why_out(image: str, arm: Arm) -> str:
    if image not in arm.exclusions:
        return "it is not among the images"
    return f"{arm.exclusions[image]['reason']}: {arm.exclusions[image]['detail']}"


def _why_label(image: str, before: Arm, after: Arm) -> str:
    if before.selection[image]["given"] != after.selection[image]["given"]:
        return f"given as {after.selection[image]['given']}, was {before.selection[image]['given']}"
    if image in after.decisions:
        return _verdict(image, after)
    return f"no longer in force: {_verdict(image, before)}"


def _verdict(image: str, arm: Arm) -> str:
    row = arm.decisions[image]
    to = f" {row['to']}" if isinstance(row["to"], str) else ""
    return f"{row['verdict']}{to} by {row['steward']}"


def _read(store: Store) -> Arm:
    return Arm(
        _rows(store.read(Selection, HEADLINE_ARM)),
        _rows(store.read(Exclusions, HEADLINE_ARM)),
        _rows(store.read(Decisions)),
    )


def _rows(frame: pd.DataFrame) -> Rows:
    return {str(row["image_id"]): {str(name): value for name, value in row.items()} for row in frame.to_dict("records")}


def _fetch(root: Path, revision: str, folder: Path) -> None:
    """Take a revision's tables out of DVC's cache."""
    from dvc.api import DVCFileSystem  # noqa: PLC0415 - takes seconds
    from dvc.exceptions import DvcException  # noqa: PLC0415 - likewise

    try:
        system = DVCFileSystem(str(root), rev=revision)
        for name in FILES:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(system.read_bytes(name))
    except (DvcException, OSError) as error:
        remedy = "name a revision whose run was committed, and `dvc pull` if another machine ran it"
        raise UserError(f"{revision} has no curated arm in the cache ({error}): {remedy}") from None
