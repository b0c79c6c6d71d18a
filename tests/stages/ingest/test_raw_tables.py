from __future__ import annotations

import io
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import UserError
from pipeline.stages.ingest.sources.raw_tables import RawTable, column_name, is_placeholder, read_table
from tests.stages.ingest.foreign import xlsx

PLACEHOLDERS = [
    *(
        "NA",
        "N/A",
        "n.a.",
        "<NA>",
        "#N/A",
        "NaN",
        "NaT",
        "None",
        "null",
        "(null)",
        "NIL",
        r"\N",
        "-",
        "--",
        "—",
        "?",
        "??",
        ".",
    ),
    *(
        "...",
        "*",
        "not available",
        "Not Applicable",
        "not_reported",
        "NOT KNOWN",
        "no data",
        "no information",
        "unknown",
    ),
    *("[unknown]", "Unk", "unspecified", "missing", "undefined", "#REF!", "#DIV/0!", "unbekannt", "k.A.", "", "  "),
]
VALUES = [
    "0",
    "n",
    "nano",
    "Nana",
    "none of these",
    "notable",
    "x",
    "1",
    "-1",
    "é",
    "痣",
    "unknown primary",
    "nv",
    "not nevus",
]

HEADER = ["isic_id", "lesion id", "Age"]
ROWS = [["I_1", "Läsion, links", "55"], ["I_2", 'a "b"', ""], ["I_3", "x;y\tz|w", "40"]]


def read(folder: Path, content: bytes | str, **options: object) -> RawTable:
    path = folder / "table"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, **options)  # type: ignore[arg-type]


def text(separator: str, end: str, *, trailing: bool, quoted: bool) -> str:
    lines = []
    for row in [HEADER, *ROWS]:
        cells = [
            f'"{cell.replace(chr(34), chr(34) * 2)}"' if quoted or set(cell) & set(',;\t|"') else cell for cell in row
        ]
        lines.append(separator.join(cells) + (separator if trailing else ""))
    return end.join(lines) + end


def values(table: RawTable) -> list[list[str]]:
    return [list(row.values()) for _, row in table.rows]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_a_missing_value_in_any_case_quoted_or_not(value: str, tmp_path: Path) -> None:
    for spelt in {value, value.upper(), value.lower(), f" {value} ", f"'{value}'", f"[{value}]"}:
        assert is_placeholder(spelt), spelt
        quoted = f'"{spelt}"'
        table = read(tmp_path, f"id,lesion_id,split\na,{spelt},x\nb,{quoted},y\n")
        assert values(table) == [["a", "", "x"], ["b", "", "y"]]


@pytest.mark.parametrize("value", VALUES)
def test_what_only_resembles_a_placeholder_is_a_value(value: str, tmp_path: Path) -> None:
    assert not is_placeholder(value)
    assert values(read(tmp_path, f"id,lesion_id\na,{value}\n")) == [["a", value]]


def test_a_literal_column_keeps_what_looks_missing(tmp_path: Path) -> None:
    assert values(read(tmp_path, "raw,diagnosis\nNA,NA\n", literal=("raw",))) == [["NA", ""]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_the_same_in_every_encoding_with_every_separator_and_line_end(
    encoding: str, separator: str, tmp_path: Path
) -> None:
    for end, trailing, quoted in itertools.product(["\n", "\r\n", "\r"], [False, True], [False, True]):
        content = text(separator, end, trailing=trailing, quoted=quoted).encode(encoding)
        table = read(tmp_path, content, required=("isic_id",))
        assert (list(table.columns), values(table), table.misfits) == (["isic_id", "lesion_id", "age"], ROWS, ())


def test_excel_and_parquet_are_tables_too(tmp_path: Path) -> None:
    book = xlsx(
        [["isic_id", "lesion id", "Age", None], ["I_1", "N/A", 55.0, None], [None] * 4, ["I_2", "x", 40.5, None]], []
    )
    expected = [["I_1", "", "55"], ["I_2", "x", "40.5"]]
    assert values(read(tmp_path, book, required=("age",))) == expected
    buffer = io.BytesIO()
    columns = {"isic_id": ["I_1", "I_2"], "lesion id": pa.array(["NA", "x"]).dictionary_encode(), "Age": [55.0, 40.5]}
    pq.write_table(pa.table(columns), buffer)
    assert values(read(tmp_path, buffer.getvalue())) == expected


def test_numbers_of_a_column_with_gaps_are_ids_again(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": ["a", "b"], "patient_id": pa.array([7.0, None], pa.float64())}), buffer)
    assert values(read(tmp_path, buffer.getvalue())) == [["a", "7"], ["b", ""]]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("b,Hospital, Barcelona,x", "4 cells where the header has 3"),
        ("b,Clinic", "2 cells where the header has 3"),
        ("b", "1 cells where the header has 3"),
        ("b,Clinic,x,,more", "5 cells where the header has 3"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_row_that_does_not_fit_its_header_is_no_row(line: str, problem: str, last: bool, tmp_path: Path) -> None:  # noqa: FBT001
    lines = ["id,attribution,lesion_id", "a,x,y", *([] if last else ["c,x,y"])]
    lines.insert(len(lines) if last else 2, line)
    table = read(tmp_path, "\n".join(lines))
    assert [(misfit.number, misfit.detail) for misfit in table.misfits] == [(2, problem)]
    assert [row["id"] for _, row in table.rows] == (["a"] if last else ["a", "c"])


def test_trailing_separators_of_some_rows_do_not_matter(tmp_path: Path) -> None:
    assert values(read(tmp_path, "id,x\na,1,,\nb,2\n,,\n")) == [["a", "1"], ["b", "2"]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rows_that_an_unclosed_quote_swallows_are_each_a_misfit(count: int, tmp_path: Path) -> None:
    swallowed = [f"s{i},Clinic,CC-0" for i in range(count)]
    lines = ["id,attribution,licence", "a,x,CC-0", 'b,"Clinic,CC-0', *swallowed, 's,Clinic",CC-0', "z,x,CC-0"]
    table = read(tmp_path, "\n".join(lines) + "\n")
    assert [row["id"] for _, row in table.rows] == ["a", "z"]
    assert len(table.misfits) == count + 2
    assert [number for number, _ in table.rows] == [1, count + 4]


def test_a_cell_of_several_lines_is_a_cell(tmp_path: Path) -> None:
    table = read(tmp_path, 'id,attribution,licence\na,"one\ntwo",CC-0\nb,x,CC-0\n')
    assert (values(table), table.misfits) == ([["a", "one\ntwo", "CC-0"], ["b", "x", "CC-0"]], ())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b" \r\n ,,\n", "it is empty"),
        (b'""', "it is empty"),
        (b'id,x\na,"b\nc,d\n', "is a quote not closed"),
        (b'id,x\na,"b"c\n', "is a quote not closed"),
        (b"id,Id,x\na,b,c\n", "names a column twice: id, Id"),
        (b"lesion id,lesion_id\na,b\n", "names a column twice"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"id\n\xff\xfe\0", "zero bytes"),
        ("id,x\né,b\n".encode() + b"c,\xe9\n", "it is UTF-8, but for line 3"),
        (b"id,x\n\x81,b\n", "no text in cp1252"),
        (b"PAR1 and no more", "no Parquet file"),
        (b"PK\x03\x04 and no more", "no workbook"),
        (b"a,b\n1,2,3\n4,5,6\n7,8,9\n", "every row has one cell more than the header"),
    ],
)
def test_a_file_that_is_no_table_stops_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a readable table") as error:
        read(tmp_path, content)
    assert reason in str(error.value)


def test_a_workbook_with_two_filled_sheets_stops(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has the sheets s1, s2: keep one"):
        read(tmp_path, xlsx([["id"], ["a"]], [["id"], ["b"]]))


def test_row_names_of_r_and_pandas_are_no_column(tmp_path: Path) -> None:
    table = read(tmp_path, '"","image","split"\n"1","a","train"\n"2","b","test"\n')
    assert [dict(row) for _, row in table.rows] == [{"image": "a", "split": "train"}, {"image": "b", "split": "test"}]
    assert read(tmp_path, "a,,b\n1,x,2\n").misfits[0].detail == "a cell stands in a column without a name: 'x'"


def test_excels_own_first_line_names_the_separator(tmp_path: Path) -> None:
    assert values(read(tmp_path, "sep=|\nid|note\na|b;c,d\n")) == [["a", "b;c,d"]]


def test_the_separator_is_the_one_that_yields_the_columns_looked_for(tmp_path: Path) -> None:
    table = read(tmp_path, "image;a,b,c,d;split\nx;1;train\n", known=("image", "split"))
    assert list(table.columns) == ["image", "a_b_c_d", "split"]


def test_names_of_columns_fold_case_spacing_and_punctuation() -> None:
    assert {column_name(name) for name in ("Lesion ID", "lesion_id", "LESION-ID", " lesion.id ")} == {"lesion_id"}
