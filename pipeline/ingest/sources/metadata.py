"""Metadata files beside images: read as text, and matched with the images so that neither a row nor a file is lost."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.ingest.rows import Entry, Listing, Locator, Reject, free_id
from pipeline.ingest.sources.files import RawFile

Row = Mapping[str, str]

MISSING = {"", "unknown", "nan"}  # how the sources spell a value that they do not know


def read_rows(path: Path, *, required: Iterable[str]) -> list[Row]:
    """Read a CSV or tab-separated file; which of the two, its header says.

    Returns:
        one mapping a row, of stripped texts; absent cells are empty.

    Raises:
        UserError: it is no UTF-8 text, no table, or lacks a required column.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter="\t" if "\t" in header else ",", strict=True)
            rows: list[Row] = [
                {name.strip(): (value or "").strip() for name, value in row.items() if isinstance(name, str)}
                for row in reader
            ]
            columns = {name.strip() for name in reader.fieldnames or ()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a readable table ({error}): fetch it again") from error
    lacking = sorted(set(required) - columns)
    if lacking:
        raise UserError(f"{path} lacks the columns {', '.join(lacking)}: fetch it again, or name another source")
    return rows


def match(
    rows: Iterable[Row],
    files: Iterable[RawFile],
    *,
    key: str,
    build: Callable[[Row, Locator], Entry],
    ignored_files: int,
) -> Listing:
    """Join metadata rows with image files by id, the file's name without extension.

    Args:
        rows: in file order.
        files: the batch's image files.
        key: the column that holds the id.
        build: makes an entry of a row and its image.
        ignored_files: passed on to the listing.

    """
    unclaimed, rejects, taken = _by_stem(files)
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        name = row[key]
        if not name:
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
            if file:
                entries.append(build(row, file.locator))
            else:
                rejects.append(Reject(name, "image_missing", f"metadata row {number} has no image"))
    rejects += [
        Reject(stem, "metadata_missing", f"{file.name} has no metadata row") for stem, file in unclaimed.items()
    ]
    return Listing(tuple(entries), tuple(rejects), ignored_files)


def text_of(row: Row, column: str) -> str | None:
    """Return a cell, or None where the source does not know it."""
    text = row.get(column, "")
    return None if text.casefold() in MISSING else text


def number_of(row: Row, column: str) -> float | None:
    """Return a cell as a number, or None where it is missing or no finite number."""
    try:
        parsed = float(row.get(column, ""))
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None


def _by_stem(files: Iterable[RawFile]) -> tuple[dict[str, RawFile], list[Reject], set[str]]:
    """Index files by id; a second file of the same id is a reject. Also return the ids in use."""
    first: dict[str, RawFile] = {}
    again = [file for file in files if first.setdefault(file.stem, file) is not file]
    taken = set(first)
    rejects = [
        Reject(free_id(file.stem, taken), "repeated_id", f"{file.name} repeats {first[file.stem].name}")
        for file in again
    ]
    return first, rejects, taken
