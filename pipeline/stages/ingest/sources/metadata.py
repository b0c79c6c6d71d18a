"""Metadata tables beside images: values are checked, and rows matched with images so that neither is lost.

A value that cannot be what its column says (an age of 700, the sex `Barcelona`) rejects its row: it is a slip of the
pen at best, and at worst all values of the row stand one column further along than they should.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Entry, Listing, Locator, Reject, RejectedError, free_id
from pipeline.stages.ingest.sources.raw_tables import SUFFIXES, RawTable, Row
from pipeline.stages.ingest.sources.side_files import Sorted

MAX_AGE_YEARS = 120
AGE = re.compile(r"([+-]?\d+(?:[.,]\d+)?)(?:\s*(?:y|yo|yrs?|years?)\.?)?", re.IGNORECASE)
SEX = re.compile(
    r"(fe)?male|[mfwxd]|(wo)?m[ae]n|boy|girl|masculin[eo]?|f[eé]min(in[eo]?|ino)|femenin[oa]|hombre|mujer|mann|"
    r"m(ä|ae)nnlich|frau|weiblich|homme|femme|maschi(o|le)|femmin(a|ile)|other|divers|(trans|inter)(gender|sex)|"
    r"non[- ]?binary",
    re.IGNORECASE,
)
LICENCE = re.compile(
    r"cc([ _-]?0|[ _-](by|pd|zero)|[ _-]?public)\b.*|creative ?commons\b.*|public[ _-]?domain\b.*|pdm?\b.*|pddl\b.*|"
    r"od(bl|c)\b.*|(mit|apache|bsd|l?gpl|agpl|cdla|gfdl|fal|isc)\b.*|.*\blicen[cs]ed?\b.*|.*\ball rights reserved\b.*|"
    r".*\bcopyright\b.*|©.*|proprietary|custom|other|https?://\S+",
    re.IGNORECASE,
)
# What no cell of an id, a label or a demographic column holds, quoted or not.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def find_table(names: Iterable[str], stem: str, *, folder: Path, remedy: str, suffix: str = "") -> str:
    """Choose the file that holds a batch's metadata: `stem`, as it is or with the suffix of a table.

    Raises:
        UserError: there is none, or several.

    """
    tables = sorted(name for name in names if name == stem or name.lower() in {stem.lower() + end for end in SUFFIXES})
    if not tables:
        raise UserError(f"{folder} lacks {stem}{suffix}: {remedy}")
    if len(tables) > 1:
        raise UserError(f"{folder} holds {' and '.join(tables)}: keep one of them")
    return tables[0]


def match(
    table: RawTable, files: Sorted, *, key: str, build: Callable[[Row, Locator], Entry], ignored_files: int
) -> Listing:
    """Join metadata rows with image files by id, the file's name without extension.

    Args:
        table: the metadata.
        files: the batch's images by id, and what else was found.
        key: the column that holds the id.
        build: makes an entry of a row and its image; raises RejectedError for a value that cannot be.
        ignored_files: passed on to the listing, beside the side files.

    """
    unclaimed = dict(files.images)
    taken = set(unclaimed)
    rejects = [
        Reject(free_id(file.stem, taken), "repeated_id", f"{file.name} repeats {files.images[file.stem].name}")
        for file in files.repeats
    ]
    rejects += [
        Reject(free_id(f"row {misfit.number}", taken), "malformed_row", misfit.detail) for misfit in table.misfits
    ]
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for number, row in table.rows:
        name = row[key]
        if not name or CONTROL.search(name):
            rejects.append(
                Reject(free_id(f"row {number}", taken), "image_missing", f"metadata row {number} has no {key}")
            )
        elif name in seen:
            detail = f"metadata row {number} repeats row {seen[name]}"
            rejects.append(Reject(free_id(name, taken), "repeated_id", detail))
        else:
            seen[name] = number
            taken.add(name)
            file = unclaimed.pop(name, None)
            if file is None:
                beside = f", but a side file: {files.lonely[name].name}" if name in files.lonely else ""
                rejects.append(Reject(name, "image_missing", f"metadata row {number} has no image{beside}"))
                continue
            try:
                entries.append(build(row, file.locator))
            except RejectedError as error:
                rejects.append(Reject(name, error.reason, f"metadata row {number}: {error.detail}"))
    rejects += [
        Reject(stem, "metadata_missing", f"{file.name} has no metadata row") for stem, file in unclaimed.items()
    ]
    return Listing(tuple(entries), tuple(rejects), ignored_files + len(files.side), files.notes)


def missing_columns(table: RawTable, fields: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Say which fields have no column: an archive that renames one would lose it without a word otherwise."""
    lost = {name: columns for name, columns in fields.items() if not set(columns) & set(table.columns)}
    if not lost:
        return ()
    told = "; ".join(f"{name} (looked for {' or '.join(columns)})" for name, columns in lost.items())
    return (f"the metadata has no column for {told}: it is missing on every image",)


def first_of(row: Row, columns: Iterable[str]) -> str | None:
    """Return the first of several cells that is known, or None.

    Raises:
        RejectedError: it holds a line break or another control character.

    """
    for column in columns:
        text = row.get(column, "")
        if CONTROL.search(text):
            raise _implausible(column, text)
        if text:
            return text
    return None


def age_of(row: Row, columns: Iterable[str]) -> float | None:
    """Return an age in years, or None where it is missing.

    Raises:
        RejectedError: it is no number from 0 to MAX_AGE_YEARS.

    """
    text = first_of(row, columns)
    if text is None:
        return None
    number = AGE.fullmatch(text)
    years = float(number[1].replace(",", ".")) if number else float("nan")
    if not 0 <= years <= MAX_AGE_YEARS:
        raise _implausible("age", text)
    return years


def sex_of(row: Row, columns: Iterable[str]) -> str | None:
    """Return a sex as the source gives it, or None where it is missing.

    Raises:
        RejectedError: it is none that SEX knows.

    """
    text = first_of(row, columns)
    if text is not None and not SEX.fullmatch(text):
        raise _implausible("sex", text)
    return text


def licence_of(row: Row, columns: Iterable[str]) -> str | None:
    """Return a licence as the source gives it, or None where it gives none.

    Raises:
        RejectedError: it reads like no licence.

    """
    text = first_of(row, columns)
    if text is not None and not LICENCE.fullmatch(text):
        raise _implausible("licence", text)
    return text


def _implausible(column: str, text: str) -> RejectedError:
    return RejectedError("implausible_value", f"{column} is {text!r}: is the row shifted?")
