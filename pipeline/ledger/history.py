"""Whether the ledger only grew: held against its versions in git, and against a copy of what was last appended here.

A hash chain shows any change inside it, but who cuts its end off, or chains all lines anew, leaves a chain that is
whole. So each version that git has on the way of first parents must begin with the version before it, byte by byte; a
merge must also hold every decision of the branches that it merges. What is not committed yet must begin with a copy
that each append leaves in the cache. Not detected: a rewritten history of git (another clone shows it), and a line that
somebody forges behind the last committed one, hash and copy included, which is no other than what `append` does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import PATH, Decision, identities, parse, same, with_line_feeds

HEAD_COPY = "data/.cache/ledger/head.csv"


@dataclass
class Findings:
    """What is wrong, what was and has been put right, and what could not be looked at; sentences."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(root: Path) -> Findings:
    """Hold the ledger against itself, git and the copy of what was appended here; see the head of this file.

    Raises:
        UserError: the file is missing.

    """
    content = with_line_feeds(read_bytes(root / PATH))
    committed, findings = _check_versions(root, content)
    try:
        findings.problems += _repeats(parse(content))
    except UserError as error:
        findings.problems.append(str(error))
    if committed is not None and (said := not_extended(committed, content)):
        findings.problems.append(said)
    if lost := lost_tail(root, content):
        findings.problems.append(lost)
    return findings


def not_extended(committed: bytes, content: bytes) -> str | None:
    """Say where a file is another than what is committed; None if it extends it."""
    if content.startswith(committed):
        return None
    return (
        f"{PATH} does not extend what is committed: {_first_difference(committed, content)}: "
        "`python -m pipeline ledger mend` takes back what is committed, and keeps the file as it is beside it"
    )


def lost_tail(root: Path, content: bytes) -> str | None:
    """Say which decisions that were recorded here are neither in `content` nor in git; None if there are none."""
    copy = head_copy(root)
    if content.startswith(copy):
        return None
    gone = missing(copy, content)
    if not gone or any(version.startswith(copy) for version in _all_versions(root)):
        return None
    first = gone[0]
    return (
        f"{PATH}: {len(gone)} decisions that were recorded here are not in it, or are others by now, the first on "
        f"{first.image_id} by {first.steward} at {first.decided_at}: `python -m pipeline ledger mend` brings them back"
    )


def head_copy(root: Path) -> bytes:
    """Return the ledger as the last append here left it; nothing if there was none."""
    path = root / HEAD_COPY
    return path.read_bytes() if path.exists() else b""


def keep_head_copy(root: Path, content: bytes) -> None:
    """Note what the ledger is by now. A crash before this leaves the note before it, which the ledger extends."""
    path = root / HEAD_COPY
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(content)
    temporary.replace(path)


def read_bytes(path: Path) -> bytes:
    """Read the ledger as it is.

    Raises:
        UserError: it is missing.

    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{PATH} does not exist: `python -m pipeline ledger mend` brings it back") from None


def committed_version(root: Path, revision: str = "HEAD") -> bytes | None:
    """Return the ledger of a git revision; None if there is none, or no git."""
    place = _git(root, "rev-parse", "--show-prefix")
    if place is None:
        return None
    return _git(root, "cat-file", "blob", f"{revision}:{place.decode().strip()}{PATH}")


def good_part(content: bytes) -> bytes:
    """Return the longest beginning of a file that `parse` takes; nothing if its header is broken."""
    lines = with_line_feeds(content).splitlines(keepends=True)
    good, bad = 0, len(lines) + 1
    middle = len(lines)  # nearly always good as a whole
    while bad - good > 1:
        try:
            parse(b"".join(lines[:middle]))
        except UserError:
            bad = middle
        else:
            good = middle
        middle = (good + bad) // 2
    return b"".join(lines[:good])


def _repeats(decisions: Sequence[Decision]) -> Iterator[str]:
    """Name lines that repeat another to the last field, time included, which `append` never writes."""
    first: dict[Decision, int] = {}
    for decision in decisions:
        if (earlier := first.setdefault(decision, decision.seq)) != decision.seq:
            yield f"{PATH}, line {decision.seq + 1} repeats line {earlier + 1}: one of the two was copied by hand"


def _check_versions(root: Path, now: bytes) -> tuple[bytes | None, Findings]:
    """Follow first parents from the oldest; return what all good versions add up to (None: git has none).

    What a merge lost is put right by whatever brought it in since, so that is looked for in the file as it is `now`.
    """
    commits = _git(root, "log", "--first-parent", "--reverse", "--format=%H", "--", PATH)
    merges = _git(root, "log", "--first-parent", "--reverse", "--merges", "--format=%H %P")
    if not commits or merges is None:
        return None, Findings(
            notes=["git has no version of the ledger: its chain was checked, and what was appended here"]
        )
    with _Blobs(root) as blobs:
        held, findings = _follow((commit, blobs.read(commit)) for commit in commits.decode().split())
        for commit in merges.decode().splitlines():
            merge, _, *others = commit.split()
            for other in others:
                if lost := _lost_in_merge(blobs, merge, other):
                    put_right = not missing(blobs.read(other) or b"", now)
                    (findings.notes if put_right else findings.problems).append(lost)
    return held, findings


def _follow(versions: Iterable[tuple[str, bytes | None]]) -> tuple[bytes, Findings]:
    """Hold each version against those before; a break that a later version put right is a note.

    Args:
        versions: commit and content (None: the commit deletes the ledger), the oldest first.

    """
    held, findings = b"", Findings()
    broken: dict[str, str] = {}
    for commit, content in versions:
        if content is not None and content.startswith(held):
            healed = list(broken.values())
        elif content is not None and content.startswith(good_part(held)):
            healed = [*broken.values(), "a version before it has a broken line"]
        else:
            said = "deletes it" if content is None else _first_difference(held, content)
            broken[commit] = f"commit {commit[:12]} does not extend the version before it: {said}"
            continue
        held, broken = content, {}
        findings.notes += [f"{what}; {commit[:12]} put it right" for what in healed]
    findings.problems += broken.values()
    return held, findings


def _lost_in_merge(blobs: _Blobs, merge: str, other: str) -> str | None:
    brought, result = blobs.read(other), blobs.read(merge)
    if brought is None or result is None or result.startswith(brought):
        return None
    gone = missing(brought, result)
    if not gone:
        return None
    return (
        f"merge {merge[:12]} lacks {len(gone)} decisions of {other[:12]}, or changed them, the first on "
        f"{gone[0].image_id}: `python -m pipeline ledger merge {other[:12]}` brings them in"
    )


def missing(before: bytes, after: bytes) -> list[Decision]:
    """List the decisions of one file that another has not, or has otherwise; of broken files, the good beginnings."""
    there, held = (identities(good) if (good := good_part(content)) else {} for content in (after, before))
    return [decision for key, decision in held.items() if key not in there or not same(there[key], decision)]


def _first_difference(before: bytes, after: bytes) -> str:
    old, new = before.split(b"\n"), after.split(b"\n")
    number = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    if number >= len(new) or not new[number]:
        return f"it ends before line {number + 1}"
    return f"line {number + 1} is another"


def _all_versions(root: Path) -> Iterator[bytes]:
    commits = _git(root, "log", "--all", "--format=%H", "--", PATH)
    with _Blobs(root) as blobs:
        for commit in (commits or b"").decode().split():
            content = blobs.read(commit)
            if content is not None:
                yield content


class _Blobs:
    """The ledger's content in commits, read from one `git cat-file --batch`."""

    def __init__(self, root: Path) -> None:
        place = _git(root, "rev-parse", "--show-prefix")
        self._path = f"{(place or b'').decode().strip()}{PATH}"
        self._git = subprocess.Popen(
            ["git", "cat-file", "--batch"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._git.communicate()

    def read(self, commit: str) -> bytes | None:
        """Return the content in a commit, with a ledger's line ends; None if the commit has none."""
        assert self._git.stdin is not None  # noqa: S101 - both are pipes
        assert self._git.stdout is not None  # noqa: S101 - likewise
        self._git.stdin.write(f"{commit}:{self._path}\n".encode())
        self._git.stdin.flush()
        answer = self._git.stdout.readline().split()
        if len(answer) != 3 or answer[1] != b"blob":  # noqa: PLR2004 - hash, type, size
            return None
        content = self._git.stdout.read(int(answer[2]))
        self._git.stdout.read(1)
        return with_line_feeds(content)


def _git(root: Path, *arguments: str) -> bytes | None:
    """Return what git says; None where it fails, or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
