"""`ledger`: verify the stewards' decisions file, merge another into it, mend a spoiled one.

`ledger verify` says whether the file only grew, by its chain, its versions in git and what was last appended here.
`ledger merge FILE|BRANCH` appends what another ledger holds and this one does not; `ledger merge --install` makes it
git's merge driver in this clone, without which git refuses to merge the file. `ledger mend` brings back what a
spreadsheet, an editor or a careless command did to it, and loses nothing.
"""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH, merge, unspoil
from pipeline.ledger.history import committed_version, verify

ATTRIBUTE = f"{PATH} -text merge=ledger"  # in the clone's own attributes: those in git say -merge, which refuses


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("action", choices=["verify", "merge", "mend", "driver"], help="driver is for git to call")
    parser.add_argument("sources", nargs="*", metavar="FILE|BRANCH", help="of merge: a ledger, or a git revision's")
    parser.add_argument("--install", action="store_true", help="of merge: make it git's merge driver in this clone")


def run(root: Path, options: Namespace) -> int:
    """Do what is asked; return 1 if `verify` finds something wrong.

    Raises:
        UserError: a file or revision is not there, or a ledger is broken.

    """
    if options.action == "verify":
        return _verify(root)
    if options.action == "mend":
        print(file.mend(root))
    elif options.action == "driver":
        _drive(*map(Path, options.sources))
    elif options.install:
        _install(root)
    elif not options.sources:
        raise UserError("ledger merge needs a file or a branch: name one, or say --install")
    else:
        for source in options.sources:
            print(f"{file.merge_in(root, _read(root, source))} decisions of {source} were appended")
    return 0


def _verify(root: Path) -> int:
    findings = verify(root)
    for note in findings.notes:
        print(f"note: {note}")
    for problem in findings.problems:
        print(f"error: {problem}", file=sys.stderr)
    if not findings.problems:
        recorded = len(file.read(root / PATH).decisions)
        print(f"{PATH} is whole: {recorded} decisions, and every version extends the one before")
    return 1 if findings.problems else 0


def _read(root: Path, source: str) -> bytes:
    path = root / source
    content = path.read_bytes() if path.is_file() else committed_version(root, source)
    if content is None:
        raise UserError(f"{source!r} is neither a file nor a git revision with {PATH}: correct it")
    return unspoil(content)


def _drive(ours: Path, theirs: Path) -> None:
    """Write both sides' decisions to the file that git takes the result from."""
    ours.write_bytes(merge(ours.read_bytes(), theirs.read_bytes()))


def _install(root: Path) -> None:
    """Tell git of this clone, and of no other, how to merge the ledger."""
    top = _git(root, "rev-parse", "--show-prefix")
    if top:
        raise UserError(f"the project lies in {top} of a repository: git's merge driver needs it at the top")
    driver = f"'{sys.executable}' -m pipeline ledger driver %A %B"
    _git(root, "config", "merge.ledger.name", "appends the decisions of both sides")
    _git(root, "config", "merge.ledger.driver", driver)
    attributes = root / _git(root, "rev-parse", "--git-path", "info/attributes")
    attributes.parent.mkdir(parents=True, exist_ok=True)
    before = attributes.read_text("utf-8") if attributes.exists() else ""
    if ATTRIBUTE not in before.splitlines():
        attributes.write_text(f"{before.rstrip()}\n{ATTRIBUTE}\n".lstrip(), "utf-8")
    print(f"git merges {PATH} in this clone by appending what is new; in others it refuses until this is run there")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
