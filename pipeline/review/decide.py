"""`python -m pipeline decide`: record one decision without the App."""

from __future__ import annotations

import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from pipeline import params
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import LABEL_VERDICTS, PATH, RELABEL, VERDICTS, WITHDRAW, Decision, parse
from pipeline.ledger.history import committed_version
from pipeline.ledger.notes import refuse_personal
from pipeline.review import spool
from pipeline.review.effects import complete, read_curated
from pipeline.stages.ingest.tables import Images


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("image_id", help="<batch>:<source_id>")
    parser.add_argument("verdict", choices=VERDICTS)
    parser.add_argument("--to", metavar="DIAGNOSIS", default="", help="the right diagnosis, of a relabel")
    parser.add_argument(
        "--other",
        metavar="IMAGE_ID",
        default="",
        help="the other image, of a pair verdict; of copy_of the one that stays",
    )
    parser.add_argument("--reason", required=True, help="why, in words that tell of nobody")
    parser.add_argument("--checked", action="store_true", help="the reason was looked at, and tells of nobody")
    parser.add_argument("--queue", default="command", help="what the case was found in, such as disputes")
    add_steward_arguments(parser)


def add_steward_arguments(parser: ArgumentParser) -> None:
    """Declare who decides, and whether the ledger is committed: of every command that records decisions."""
    parser.add_argument("--steward", metavar="NAME", help="who decides (default: git's user.name)")
    parser.add_argument("--commit", action="store_true", help="commit the ledger, and nothing else, without asking")


def run(root: Path, options: Namespace) -> int:
    """Append the decision to the ledger, say what it changes, offer the commit; return the exit status.

    Raises:
        UserError: an image or diagnosis is unknown, the options do not fit the verdict, the reason looks as if it told
            of somebody, there is nothing to withdraw, or nobody is named.

    """
    tree = params.read_tree(root / "params.yaml")
    images = Store(root).read(Images, tree["batches"]).set_index("image_id")
    for image in filter(None, (options.image_id, options.other)):
        _require(image, images.index, "the image_id of an image")
    if options.verdict == RELABEL:
        _require(options.to, sorted(images["diagnosis"].unique()), "a diagnosis of the dataset")
    if not options.checked:
        refuse_personal(options.reason)
    decision = Decision(
        image_id=options.image_id,
        sha256=str(images.loc[options.image_id, "sha256"]),
        other_image_id=options.other,
        queue=options.queue,
        verdict=options.verdict,
        given=str(images.loc[options.image_id, "diagnosis"]) if options.verdict in LABEL_VERDICTS else "",
        to=options.to,
        steward=steward_name(root, options.steward),
        decided_at=now(),
        reason=options.reason,
        tool="decide",
    )
    spool.record_all(root, root / spool.DESKS)
    decision = with_effect(root, decision)
    file.append(root, [decision])
    said = f"; {decision.effect}" if decision.effect else ""
    print(f"recorded: {decision.verdict} {decision.image_id}{said}; `dvc repro` applies it")
    offer_commit(root, unasked=options.commit)
    return 0


def with_effect(root: Path, decision: Decision) -> Decision:
    """Fill in what was shown and what the decision will change; as it is where the stages have not run yet.

    Raises:
        UserError: it withdraws what the steward has not said.

    """
    decisions = file.read(root / PATH).decisions
    if decision.verdict == WITHDRAW and not _stands(decision, decisions):
        raise UserError(
            f"{decision.steward} has said nothing on {' and '.join(decision.subject)} that stands: "
            "`python -m pipeline decisions` lists what was said, and by whom"
        )
    try:
        curated = read_curated(Store(root), params.read_tree(root / "params.yaml"))
    except (UserError, OSError) as error:  # OSError: DVC takes a table away in this moment
        print(f"what it changes is not known yet: {error}", file=sys.stderr)
        return decision
    return complete(curated, decisions, decision)


def offer_commit(root: Path, *, unasked: bool) -> None:
    """Commit the decisions that git has not yet, if the person at the terminal says so, or say how.

    Args:
        root: the project's folder.
        unasked: commit without asking.

    """
    committed = committed_version(root)
    if committed is None:
        return
    waiting = file.read(root / PATH).decisions[len(parse(committed)) :]
    if not waiting:
        return
    counts = Counter(decision.verdict for decision in waiting)
    message = f"Decisions of {', '.join(sorted({decision.steward for decision in waiting}))}: " + ", ".join(
        f"{count} {verdict}" for verdict, count in sorted(counts.items())
    )
    if not unasked and sys.stdin.isatty():
        unasked = input(f"{len(waiting)} decisions are not committed; commit them now? [y/N] ").lower() in {"y", "yes"}
    if not unasked:
        print(f"{len(waiting)} decisions are not committed: git commit -m {shlex.quote(message)} -- {PATH}")
        return
    command = ["git", "commit", "--quiet", "-m", message, "--", PATH]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{PATH} is recorded, but git did not commit it: {(done.stderr or done.stdout).strip()}")
    print(f"committed: {message}")


def _stands(withdrawal: Decision, decisions: list[Decision]) -> bool:
    """Say whether the last word of the steward on the same image or pair is one that can be taken back."""
    words = [d for d in decisions if d.subject == withdrawal.subject and d.person == withdrawal.person]
    return bool(words) and words[-1].verdict != WITHDRAW


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
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _require(value: str, known: Collection[str], what: str) -> None:
    if value not in known:
        few = f" ({', '.join(known)})" if len(known) <= 50 else ""  # noqa: PLR2004 - that fit in a sentence
        raise UserError(f"{value!r} is not {what}{few}: correct it")
