"""What a steward decided, as one line of a file that only grows.

Hash chain: every line carries the SHA-256 of the line before it, so a decision that was changed, removed or moved by
hand is noticed by whoever reads the file next. What the chain alone cannot show (the end cut off, every line chained
anew) `history.py` finds, by the versions in git and by a copy of what was last appended here.

The first line names the first version's columns. A marked row, whose values are the names of the columns below it,
begins those that came later; lines above it stay as they were written. From there on, cells that a spreadsheet would
run as a formula begin with an apostrophe, which is taken off again on reading.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.core.errors import UserError

PATH = "data/review/decisions.csv"

KEEP, RELABEL, DROP, NOT_SURE = "keep", "relabel", "drop", "not_sure"
SAME_LESION, NOT_A_DUPLICATE, COPY_OF = "same_lesion", "not_a_duplicate", "copy_of"
WITHDRAW = "withdraw"  # takes back what the same steward said of the same image or pair
IMAGE_VERDICTS = (KEEP, RELABEL, DROP, NOT_SURE)
PAIR_VERDICTS = (SAME_LESION, NOT_A_DUPLICATE, COPY_OF)
VERDICTS = (*IMAGE_VERDICTS, *PAIR_VERDICTS, WITHDRAW)
LABEL_VERDICTS = (KEEP, RELABEL, NOT_SURE)  # they say something about the given label, so they name it in `from`

CONTROL = "control"  # queue of cases whose answer is known
DISPUTES = "disputes"  # queue of cases that stewards see otherwise
BROWSING = "all"  # all images, in no order but their names, with what everybody said

FIRST = (
    "image_id",
    "sha256",
    "other_image_id",
    "queue",
    "verdict",
    "from",
    "to",
    "steward",
    "decided_at",
    "reason",
    "tool",
)
LATER = ("place", "suggested", "posterior", "split", "tables", "effect", "origin")
HEADER = ",".join(("seq", *FIRST, "previous_hash"))
MARK = ",".join((*FIRST, *LATER))
MARKED = re.compile(rb"^\d+," + MARK.encode() + rb",[0-9a-f]{64}$", re.MULTILINE)
MAX_REASON = 500  # characters: a sentence or two, no anamnesis
RUN_BY_SPREADSHEETS = re.compile(r"'*[=+\-@\t]")


@dataclass(frozen=True)
class Decision:
    """One verdict of one person; the fields are the columns between `seq` and `previous_hash`, "" where empty.

    sha256: of the bytes received of `image_id`, so that the verdict does not outlive the image it was passed on.
    other_image_id: the other image of a pair; of `copy_of` the one that stays.
    queue: what the case was shown in.
    given, to: the columns `from` and `to`; `to` of a relabel is the new diagnosis.
    decided_at: ISO 8601 with a time zone.
    tool: the program that wrote it.
    place: of the case in its queue, 1 is first.
    suggested, posterior, split: what was shown: the suggested diagnosis, its probability, the image's split.
    tables: SHA-256 of the tables that were shown.
    effect: what it was to change, in words.
    origin: SHA-256 of the line as it was first written, of a decision that a merge brought in.
    seq: number of the line, 0 before it is written; no part of what was decided.
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
    place: str = ""
    suggested: str = ""
    posterior: str = ""
    split: str = ""
    tables: str = ""
    effect: str = ""
    origin: str = ""
    seq: int = field(default=0, compare=False)

    @property
    def subject(self) -> tuple[str, ...]:
        """What is decided on: an image, or a pair in either order."""
        return tuple(sorted((self.image_id, self.other_image_id))) if self.other_image_id else (self.image_id,)

    @property
    def person(self) -> str:
        """The steward, by `person_of`."""
        return person_of(self.steward)

    @property
    def meaning(self) -> tuple[str, str]:
        """What is said of the subject: verdict and `to`. Who says the same agrees."""
        return self.verdict, self.to

    @property
    def words(self) -> str:
        """The same for people to read."""
        return " ".join(filter(None, self.meaning))


def person_of(steward: str) -> str:
    """Name a steward however the name is spaced or capitalised."""
    return " ".join(steward.split()).casefold()


FIELDS = tuple(Decision.__dataclass_fields__)[:-1]  # in the order of the columns


def parse(content: bytes) -> list[Decision]:
    """Read the whole file and verify it: header, numbering, hash chain, and that every verdict makes sense.

    Line ends of a spreadsheet (CRLF, a byte order mark) are taken for what they were.

    Raises:
        UserError: names the first broken line.

    """
    content = with_line_feeds(content)
    header, *lines, rest = content.split(b"\n") if b"\n" in content else (content, b"")
    if header != HEADER.encode():
        raise _broken(1, "it is not the header")
    if rest:
        raise _broken(len(lines) + 2, "it is cut off")
    decisions: list[Decision] = []
    marked = False
    for number, (previous, line) in enumerate(zip([header, *lines], lines, strict=False), start=2):
        seq, *values, previous_hash = _fields(line, number, marked=marked)
        if seq != str(number - 1):
            raise _broken(number, f"its seq is {seq!r}, not {number - 1}")
        if previous_hash != _digest(previous):
            raise _broken(number, "its previous_hash does not fit the line above, so one of the two was changed")
        if not marked and values == MARK.split(","):
            marked = True
            continue
        decision = _decision(values, number - 1, marked=marked)
        if problem := find_problem(decision):
            raise _broken(number, problem)
        decisions.append(decision)
    return decisions


def extend(content: bytes, decisions: Sequence[Decision]) -> bytes:
    """Return the file's content with decisions appended; `content` is not verified again.

    Raises:
        UserError: a decision makes no sense, or its reason is too long.

    """
    lines = with_line_feeds(content).removesuffix(b"\n").split(b"\n")
    if decisions and not MARKED.search(content):
        lines.append(f"{len(lines)},{MARK},{_digest(lines[-1])}".encode())
    for decision in decisions:
        problem = find_problem(decision)
        if not problem and len(decision.reason) > MAX_REASON and not decision.origin:
            problem = f"its reason has {len(decision.reason)} characters: say it in {MAX_REASON}"
        if problem:
            raise UserError(f"the decision on {decision.image_id or 'no image'} cannot be recorded: {problem}")
        lines.append(b"%d,%s,%s" % (len(lines), _body(decision), _digest(lines[-1]).encode()))
    return b"\n".join(lines) + b"\n"


def holds(content: bytes, decision: Decision) -> bool:
    """Say whether a file has a line that is this decision, to the last field."""
    body = _body(decision)
    if body not in content:  # nearly always: and much faster than the expression
        return False
    return re.search(rb"^\d+," + re.escape(body) + rb",[0-9a-f]{64}$", content, re.MULTILINE) is not None


def identities(content: bytes) -> dict[str, Decision]:
    """Read a whole file: its decisions by the hash of the line that each was first written as, in the file's order.

    Raises:
        UserError: names the first broken line.

    """
    lines = with_line_feeds(content).split(b"\n")
    return {decision.origin or _digest(lines[decision.seq]): decision for decision in parse(content)}


def merge(ours: bytes, theirs: bytes) -> bytes:
    """Append to one ledger the decisions of another that it lacks; each keeps, in `origin`, the hash of its first line.

    So ours is extended and nothing in it changes, and a decision that reaches it twice, by whatever ways, stands once.

    Raises:
        UserError: one of the two is broken, or they say different things of one line.

    """
    known = identities(ours)
    brought = []
    for origin, decision in identities(theirs).items():
        if origin not in known:
            brought.append(replace(decision, origin=origin))
        elif not same(known[origin], decision):
            raise UserError(
                f"the decision {origin[:12]} on {decision.image_id} is another in the ledger to be merged, so one of "
                "the two was changed: `python -m pipeline ledger verify` says which, run on either branch"
            )
    return extend(ours, brought)


def same(one: Decision, other: Decision) -> bool:
    """Say whether two lines hold one decision, merged or not."""
    return replace(one, origin="") == replace(other, origin="")


def with_line_feeds(content: bytes) -> bytes:
    """Undo what a spreadsheet or an editor does to line ends: a byte order mark, CRLF everywhere."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\r\n" in content and content.count(b"\r\n") == content.count(b"\n"):
        return content.replace(b"\r\n", b"\n")
    return content


def unspoil(content: bytes) -> bytes:
    """Undo all that a spreadsheet does to a file that it saves: line ends, its own quotes and separator, padded rows.

    The result is what the ledger was only if `parse` takes it: the chain says so.
    """
    text = with_line_feeds(content).decode("utf-8", "surrogateescape")
    separator = ";" if text.replace('"', "").startswith(HEADER.replace(",", ";")) else ","
    lines, width = [], HEADER.count(",") + 1
    for row in csv.reader(io.StringIO(text), delimiter=separator):
        wide = row[1 : 1 + len(FIRST) + len(LATER)] == MARK.split(",")
        width = MARK.count(",") + 3 if wide else width
        padded = len(row) > width and not any(row[width:])
        lines.append(_line(row[:width] if padded else row))
    return b"\n".join(lines) + b"\n"


def find_problem(decision: Decision) -> str | None:
    """Say why a decision makes no sense; None if it does."""
    verdict, pair = decision.verdict, decision.verdict in PAIR_VERDICTS
    either = verdict == WITHDRAW
    checks = (
        (verdict not in VERDICTS, f"{verdict!r} is not a verdict"),
        (not decision.image_id, "image_id is empty"),
        (not decision.sha256, "sha256 is empty"),
        (not decision.steward, "steward is empty"),
        (not decision.tool, "tool is empty"),
        (pair and decision.other_image_id in ("", decision.image_id), f"{verdict} needs another image"),
        (either and decision.other_image_id == decision.image_id, f"{verdict} needs another image"),
        (not pair and not either and bool(decision.other_image_id), f"{verdict} takes no other image"),
        (verdict in LABEL_VERDICTS and not decision.given, f"{verdict} needs the given diagnosis in `from`"),
        (verdict not in LABEL_VERDICTS and bool(decision.given), f"{verdict} takes no diagnosis in `from`"),
        (verdict == RELABEL and decision.to in ("", decision.given), "relabel needs another diagnosis in `to`"),
        (verdict != RELABEL and bool(decision.to), f"{verdict} takes no diagnosis in `to`"),
        (not _is_time(decision.decided_at), f"decided_at {decision.decided_at!r} is not ISO 8601 with a time zone"),
        (any(not _is_text(value) for value in _values(decision)), "it holds a control character"),
    )
    return next((problem for broken, problem in checks if broken), None)


def _decision(values: Sequence[str], seq: int, *, marked: bool) -> Decision:
    texts = [*map(_unescape, values)] if marked else [*values, *[""] * len(LATER)]
    return Decision(*texts, seq)  # type: ignore[arg-type, call-arg] # mypy takes the texts for all fields


def _values(decision: Decision) -> list[str]:
    return [getattr(decision, name) for name in FIELDS]


def _fields(line: bytes, number: int, *, marked: bool) -> list[str]:
    try:
        rows = list(csv.reader([line.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _broken(number, f"it is not CSV in UTF-8 ({error})") from None
    fields = len(rows[0]) if rows else 0
    wide = len(FIRST) + len(LATER) + 2
    expected = wide if marked or MARKED.fullmatch(line) else len(FIRST) + 2
    if fields != expected:
        raise _broken(number, f"it has {fields} fields, not {expected}")
    return rows[0]


def _line(values: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _body(decision: Decision) -> bytes:
    return _line([_escape(value) for value in _values(decision)])


def _escape(value: str) -> str:
    return f"'{value}" if RUN_BY_SPREADSHEETS.match(value) else value


def _unescape(value: str) -> str:
    return value[1:] if value.startswith("'") and RUN_BY_SPREADSHEETS.match(value) else value


def _is_text(value: str) -> bool:
    return value.isprintable() or value.replace("\t", " ").isprintable()


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _broken(number: int, problem: str) -> UserError:
    remedy = "`python -m pipeline ledger mend` brings back what can be, and keeps the file as it is beside it"
    return UserError(f"{PATH}, line {number}: {problem}: {remedy}")
