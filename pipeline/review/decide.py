"""`python -m pipeline decide`: record one decision without the App."""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser, Namespace
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from pipeline import params
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import IMAGE_VERDICTS, LABEL_VERDICTS, PAIR_VERDICTS, RELABEL, Decision
from pipeline.stages.ingest.tables import Images


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("image_id", help="<batch>:<source_id>")
    parser.add_argument("verdict", choices=IMAGE_VERDICTS + PAIR_VERDICTS)
    parser.add_argument("--to", metavar="DIAGNOSIS", default="", help="the right diagnosis, of a relabel")
    parser.add_argument("--other", metavar="IMAGE_ID", default="", help="the other image, of a pair verdict")
    parser.add_argument("--reason", required=True, help="why, in words")
    parser.add_argument("--steward", metavar="NAME", help="who decides (default: git's user.name)")


def run(root: Path, options: Namespace) -> int:
    """Append the decision to the ledger; return the exit status.

    Raises:
        UserError: an image or diagnosis is unknown, the options do not fit the verdict, or nobody is named.

    """
    images = Store(root).read(Images, params.read_tree(root / "params.yaml")["batches"]).set_index("image_id")
    for image in filter(None, (options.image_id, options.other)):
        _require(image, images.index, "the image_id of an image")
    if options.verdict == RELABEL:
        _require(options.to, sorted(images["diagnosis"].unique()), "a diagnosis of the dataset")
    decision = Decision(
        image_id=options.image_id,
        sha256=str(images.loc[options.image_id, "sha256"]),
        other_image_id=options.other,
        queue="command",
        verdict=options.verdict,
        given=str(images.loc[options.image_id, "diagnosis"]) if options.verdict in LABEL_VERDICTS else "",
        to=options.to,
        steward=steward_name(root, options.steward),
        decided_at=now(),
        reason=options.reason,
        tool="decide",
    )
    file.append(root, [decision])
    print(f"recorded: {decision.verdict} {decision.image_id}; `dvc repro` applies it")
    return 0


def steward_name(root: Path, named: str | None) -> str:
    """Return the name given on the command line, or git's user name.

    Raises:
        UserError: there is neither.

    """
    if named:
        return named
    asked = subprocess.run(["git", "config", "user.name"], cwd=root, capture_output=True, text=True, check=False)
    name = asked.stdout.strip()
    if not name:
        raise UserError("nobody is named as the steward: say --steward NAME, or set git's user.name")
    return name


def now() -> str:
    """Return the time, as decisions record it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _require(value: str, known: Collection[str], what: str) -> None:
    if value not in known:
        few = f" ({', '.join(known)})" if len(known) <= 50 else ""  # noqa: PLR2004 - that fit in a sentence
        raise UserError(f"{value!r} is not {what}{few}: correct it")
