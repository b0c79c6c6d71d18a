"""The one reader of tables that other people wrote: metadata of archives, split files, taxonomies.

Text in any usual encoding and with any usual separator, Excel and Parquet all become rows of texts by column. Two rules
hold for every table, and are said here only:

- **A placeholder is a missing value** (`is_placeholder`): `NA`, `None`, `-`, `not available` and their like are no
  lesion, no patient and no diagnosis.
- **A row that does not fit its header is no row** (`Misfit`): with a cell too many or too few nobody knows which
  value belongs to which column. It is handed on with its number, so that the caller rejects it or stops.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import python_calamine

from pipeline.core.errors import UserError

Row = Mapping[str, str]  # by column, as `column_name` spells it; "" is a missing value

SUFFIXES = (
    ".csv",
    ".tsv",
    ".tab",
    ".txt",
    ".xlsx",
    ".xls",
    ".ods",
    ".parquet",
)
SEPARATORS = ",;\t|"

PLACEHOLDER = re.compile(
    r"na|n a|nan|nat|none|null|nil|missing|unk(nown)?|unspecified|undefined|blank|empty|"
    r"k a|keine angabe|unbekannt|inconnu|desconocido|sconosciuto|"
    r"(not|no) (applicable|assessed|available|collected|data|determined|entered|entry|given|info|information|known|"
    r"mentioned|provided|recorded|reported|specified|stated|value)"
)
BRACKETS = " '\"`<>()[]{}"
EXCEL_ERRORS = frozenset({"#n/a", "#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!"})

UTF8_SEQUENCE = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
ROW_NAMES = 3  # so many rows that are all one cell longer than the header were written with R's row names
MARKUP = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A row that does not fit the header; `number` counts the table's rows from 1, as `RawTable.rows` does."""

    number: int
    detail: str


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table as it was read.

    columns: how the header spells each column, by `column_name`.
    rows: with their numbers, from 1 below the header.
    misfits: what does not fit the header; rows and misfits together are all that is not blank.
    """

    columns: Mapping[str, str]
    rows: tuple[tuple[int, Row], ...]
    misfits: tuple[Misfit, ...] = field(default=())


def read_table(
    path: Path,
    *,
    required: Iterable[str] = (),
    known: Iterable[str] = (),
    literal: Collection[str] = (),
    comment: str | None = None,
) -> RawTable:
    """Read a table: text, Excel or Parquet, as its content says, whatever its name.

    Args:
        path: the file.
        required: columns that must be there, as `column_name` spells them.
        known: further columns that the caller looks for: they help to tell the separator.
        literal: columns whose placeholders are values, such as the raw labels of a taxonomy.
        comment: begins lines of a text that are left out.

    Raises:
        UserError: it is no table, it names a column twice, or it lacks a required one.

    """
    required = list(required)
    try:
        content = path.read_bytes()
        header, records = _records(content, {*required, *known}, comment)
        columns = _columns(header)
        rows, misfits = _fitted(columns, records, literal)
    except (_UnreadableError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} is not a readable table ({reason}): correct it, or fetch it again") from error
    names = {column_name(name): name.strip() for name in columns if name}
    lacking = sorted(set(required) - set(names))
    if lacking:
        raise UserError(
            f"{path} lacks the columns {', '.join(lacking)}: it has {', '.join(names.values())}; fetch it again, or "
            "name another source"
        )
    return RawTable(names, tuple(rows), tuple(misfits))


def column_name(name: str) -> str:
    """Fold case, spacing and punctuation of a column's name: `Lesion ID` is `lesion_id`."""
    return "_".join(re.findall(r"\w+", name.casefold().replace("_", " ")))


@lru_cache(maxsize=1 << 14)
def is_placeholder(text: str) -> bool:
    """Tell whether a cell stands for a missing value.

    That is a word of PLACEHOLDER, an error of Excel, or a text without letter or digit
    (`-`, `?`, `…`), in any case, in brackets or quotes or not.
    """
    bare = text.casefold().strip(BRACKETS)
    words = " ".join(re.findall(r"[^\W_]+", bare))
    return (
        not words
        or bool(PLACEHOLDER.fullmatch(words))
        or bare in EXCEL_ERRORS
        or bare == r"\n"  # how MySQL and PostgreSQL write NULL
    )


class _UnreadableError(Exception):
    """Why a file is no table."""


@dataclass(frozen=True, slots=True)
class _Record:
    """Cells of one row; `swallowed` says which lines of the file it holds that look like rows of their own."""

    cells: Sequence[str]
    swallowed: tuple[int, ...] = ()


def _records(content: bytes, wanted: set[str], comment: str | None) -> tuple[Sequence[str], Iterator[_Record]]:
    """Part a file into its header and what follows, blank rows left out."""
    if content.startswith(b"PAR1"):
        grid = iter(_parquet(content))
    elif content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        grid = iter(_workbook(content))
    else:
        return _delimited(_decode(content), wanted, comment)
    filled = (_Record(cells) for cells in grid if any(map(str.strip, cells)))
    header = next(filled, None)
    if header is None:
        raise _UnreadableError("it is empty")
    return header.cells, filled


def _decode(content: bytes) -> str:
    """Decode text: by its byte order mark, as UTF-8, as UTF-16 without a mark, or as cp1252, which Excel writes."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return _decoded(content, encoding)
    if b"\0" in content:
        half = len(content) // 2
        for encoding, zeros in (("utf-16-le", content[1::2]), ("utf-16-be", content[::2])):
            if zeros.count(0) > half / 2:
                return _decoded(content, encoding)
        raise _UnreadableError("it holds zero bytes, which no text does")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if UTF8_SEQUENCE.search(content):
            line = content.count(b"\n", 0, error.start) + 1
            raise _UnreadableError(f"it is UTF-8, but for line {line}: save all of it as UTF-8") from error
        return _decoded(content, "cp1252")


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"it is no text in {encoding}: save it as UTF-8") from error


def _delimited(text: str, wanted: set[str], comment: str | None) -> tuple[Sequence[str], Iterator[_Record]]:
    """Read separated values; quotes as RFC 4180 has them."""
    if MARKUP.match(text):
        raise _UnreadableError("it is a web page")
    if "\0" in text:
        raise _UnreadableError("it holds zero characters")
    lines = list(io.StringIO(text, newline=""))
    if comment:
        lines = [line for line in lines if not line.startswith(comment)]
    while lines and not lines[0].strip(SEPARATORS + " \r\n"):
        del lines[0]
    told = re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE) if lines else None  # Excel's own first line
    if told:
        del lines[0]
    if not lines:
        raise _UnreadableError("it is empty")
    separator = told[1] if told else max(SEPARATORS, key=lambda mark: _fit(lines[0], mark, wanted))
    records = _parsed(lines, separator)
    header = next(records, None)
    if header is None:
        raise _UnreadableError("it is empty")
    return header.cells, records


def _fit(line: str, separator: str, wanted: set[str]) -> tuple[int, int]:
    """Say how many wanted columns a header has if parted so, and how many in all."""
    cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return len(wanted & set(map(column_name, cells))), len(cells)


def _parsed(lines: list[str], separator: str) -> Iterator[_Record]:
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    start, width = 0, 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            where = f"line {start + 1}" if reader.line_num <= start + 1 else f"lines {start + 1} to {reader.line_num}"
            raise _UnreadableError(f"{where}: {error}; is a quote not closed, or not doubled?") from error
        if cells is None:
            return
        within = range(start + 1, reader.line_num)
        start = reader.line_num
        if not any(map(str.strip, cells)):
            continue
        width = width or len(cells)
        swallowed = [i for i in within if lines[i].count(separator) + 1 >= width]
        yield _Record(cells, tuple(i + 1 for i in swallowed))


def _workbook(content: bytes) -> list[list[str]]:
    """Read the one sheet of an Excel or OpenDocument file that holds anything."""
    try:
        book = python_calamine.load_workbook(io.BytesIO(content))
        sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except (python_calamine.CalamineError, ValueError, OSError) as error:
        raise _UnreadableError(f"it is no workbook that can be read: {error}") from error
    filled = {name: rows for name, rows in sheets.items() if any(_text(cell).strip() for row in rows for cell in row)}
    if len(filled) > 1:
        raise _UnreadableError(f"it has the sheets {', '.join(filled)}: keep one")
    return [[_text(cell) for cell in row] for rows in filled.values() for row in rows]


def _parquet(content: bytes) -> Iterator[list[str]]:
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise _UnreadableError(f"it is no Parquet file that can be read: {error}") from error
    yield table.column_names
    columns = [column.to_pylist() for column in table.columns]
    yield from ([_text(cell) for cell in row] for row in zip(*columns, strict=True))


def _text(value: Any) -> str:  # noqa: ANN401 - a cell of Excel or Parquet holds anything
    """Write a cell as a text: nothing for a missing one, `55` for the number 55.0."""
    if value is None or value != value:  # noqa: PLR0124 - NaN, NaT
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _columns(header: Sequence[str]) -> list[str]:
    """Check a header; unnamed columns at its end are trailing separators and go."""
    names = [name.strip() if column_name(name) else "" for name in header]
    while names and not names[-1]:
        names.pop()
    counts = Counter(column_name(name) for name in names if name)
    twice = [name for name in names if counts[column_name(name)] > 1]
    if twice:
        raise _UnreadableError(f"it names a column twice: {', '.join(twice)}")
    if not counts:
        raise _UnreadableError("its header names no column")
    return names


def _fitted(
    columns: Sequence[str], records: Iterable[_Record], literal: Collection[str]
) -> tuple[list[tuple[int, Row]], list[Misfit]]:
    """Tell rows from misfits, and number them."""
    names = [column_name(name) for name in columns]
    rows: list[tuple[int, Row]] = []
    misfits: list[Misfit] = []
    longer = number = 0
    for record in records:
        number += 1
        problem = _problem(record, columns)
        longer += len(record.cells) == len(columns) + 1 and bool(record.cells[-1].strip())
        if not problem:
            cells = zip(names, map(str.strip, record.cells), strict=False)
            row = {name: "" if name not in literal and is_placeholder(cell) else cell for name, cell in cells if name}
            rows.append((number, row))
            continue
        misfits.append(Misfit(number, problem))
        for line in record.swallowed:
            number += 1
            misfits.append(Misfit(number, f"line {line} of the file lies within a quoted cell of the row above"))
    if longer >= ROW_NAMES and longer == len(rows) + len(misfits):
        raise _UnreadableError("every row has one cell more than the header: R's row names? write it without them")
    return rows, misfits


def _problem(record: _Record, columns: Sequence[str]) -> str:
    """Say why a record is no row of the table; an empty text if it is one."""
    cells, width = record.cells, len(columns)
    if record.swallowed:
        return f"a quoted cell runs on over line {record.swallowed[-1]} of the file, which looks like a row of its own"
    if len(cells) < width:
        return f"{len(cells)} cells where the header has {width}"
    beyond = [cell.strip() for cell in cells[width:] if cell.strip()]
    if beyond:
        return f"{len(cells)} cells where the header has {width}"
    # The first column may be unnamed: it holds the row names that R and pandas write.
    unnamed = [
        cell.strip() for name, cell in zip(columns[1:], cells[1:width], strict=True) if not name and cell.strip()
    ]
    return f"a cell stands in a column without a name: {unnamed[0]!r}" if unnamed else ""
