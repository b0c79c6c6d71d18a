"""What a steward decided, as one line of a file that only grows.

Every line carries the SHA-256 of the line before it, so a decision that was changed, removed or moved by hand is
noticed by whoever reads the file next. (Only the last line can be changed unseen; git shows that.)
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from pipeline.core.errors import UserError

PATH = "data/review/decisions.csv"

KEEP, RELABEL, DROP, NOT_SURE = "keep", "relabel", "drop", "not_sure"
SAME_LESION, NOT_A_DUPLICATE = "same_lesion", "not_a_duplicate"
IMAGE_VERDICTS = (KEEP, RELABEL, DROP, NOT_SURE)
PAIR_VERDICTS = (SAME_LESION, NOT_A_DUPLICATE)
LABEL_VERDICTS = (KEEP, RELABEL, NOT_SURE)  # they say something about the given label, so they name it in `from`

HEADER = "seq,image_id,sha256,other_image_id,queue,verdict,from,to,steward,decided_at,reason,tool,previous_hash"


@dataclass(frozen=True)
class Decision:
    """One verdict of one person; the fields are the columns between `seq` and `previous_hash`, "" where empty.

    sha256: of the bytes received of `image_id`, so that the verdict does not outlive the image it was passed on.
    other_image_id: the other image of a pair verdict.
    given, to: the columns `from` and `to`; `to` of a relabel is the new diagnosis.
    decided_at: ISO 8601 with a time zone.
    tool: the program that wrote it.
    """

    image_id: str
    sha256: str
    other_image_id: str
    queue: str
    verdict: str
    given: str
    to: str
    steward: str
    decided_at: str
    reason: str
    tool: str

    @property
    def subject(self) -> tuple[str, ...]:
        """What is decided on: an image, or a pair in either order."""
        pair = self.verdict in PAIR_VERDICTS
        return tuple(sorted((self.image_id, self.other_image_id))) if pair else (self.image_id,)


def parse(content: bytes) -> list[Decision]:
    """Read the whole file and verify it: header, numbering, hash chain, and that every verdict makes sense.

    Raises:
        UserError: names the first broken line.

    """
    header, *lines, rest = content.split(b"\n") if b"\n" in content else (content, b"")
    if header != HEADER.encode():
        raise _broken(1, "it is not the header")
    if rest:
        raise _broken(len(lines) + 2, "it is cut off")
    decisions = []
    for number, (previous, line) in enumerate(zip([header, *lines], lines, strict=False), start=2):
        seq, *values, previous_hash = _fields(line, number)
        if seq != str(number - 1):
            raise _broken(number, f"its seq is {seq!r}, not {number - 1}")
        if previous_hash != _digest(previous):
            raise _broken(number, "its previous_hash does not fit the line above, so one of the two was changed")
        decision = Decision(*values)
        if problem := find_problem(decision):
            raise _broken(number, problem)
        decisions.append(decision)
    return decisions


def extend(content: bytes, decisions: Sequence[Decision]) -> bytes:
    """Return the file's content with decisions appended; `content` is not verified again.

    Raises:
        UserError: a decision makes no sense.

    """
    lines = content.removesuffix(b"\n").split(b"\n")
    for decision in decisions:
        if problem := find_problem(decision):
            raise UserError(f"the decision on {decision.image_id or 'no image'} cannot be recorded: {problem}")
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow([len(lines), *astuple(decision), _digest(lines[-1])])
        lines.append(text.getvalue().encode())
    return b"\n".join(lines) + b"\n"


def find_problem(decision: Decision) -> str | None:
    """Say why a decision makes no sense; None if it does."""
    verdict, pair = decision.verdict, decision.verdict in PAIR_VERDICTS
    checks = (
        (verdict not in IMAGE_VERDICTS + PAIR_VERDICTS, f"{verdict!r} is not a verdict"),
        (not decision.image_id, "image_id is empty"),
        (not decision.sha256, "sha256 is empty"),
        (not decision.steward, "steward is empty"),
        (not decision.tool, "tool is empty"),
        (pair and decision.other_image_id in ("", decision.image_id), f"{verdict} needs another image"),
        (not pair and bool(decision.other_image_id), f"{verdict} takes no other image"),
        (verdict in LABEL_VERDICTS and not decision.given, f"{verdict} needs the given diagnosis in `from`"),
        (verdict not in LABEL_VERDICTS and bool(decision.given), f"{verdict} takes no diagnosis in `from`"),
        (verdict == RELABEL and decision.to in ("", decision.given), "relabel needs another diagnosis in `to`"),
        (verdict != RELABEL and bool(decision.to), f"{verdict} takes no diagnosis in `to`"),
        (not _is_time(decision.decided_at), f"decided_at {decision.decided_at!r} is not ISO 8601 with a time zone"),
        (any(not c.isprintable() for value in astuple(decision) for c in value), "it holds a control character"),
    )
    return next((problem for broken, problem in checks if broken), None)


def _fields(line: bytes, number: int) -> list[str]:
    try:
        rows = list(csv.reader([line.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _broken(number, f"it is not CSV in UTF-8 ({error})") from None
    expected = HEADER.count(",") + 1
    fields = len(rows[0]) if rows else 0
    if fields != expected:
        raise _broken(number, f"it has {fields} fields, not {expected}")
    return rows[0]


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _broken(number: int, problem: str) -> UserError:
    return UserError(f"{PATH}, line {number}: {problem}: restore the file from git and append to it with `decide` only")
