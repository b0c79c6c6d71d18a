"""Foreign input of every shape: each row, member and file is accounted for, or refused in a sentence.

FUZZ_EXAMPLES says how many inputs each test draws; by default few enough for every run of the tests.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.commands.audit_split.split_files import match, read_split
from pipeline.commands.audit_split.split_folders import split_by_folder
from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import RejectedError
from pipeline.stages.ingest.sources import folder as class_folders
from pipeline.stages.ingest.sources import isic
from pipeline.stages.ingest.sources.files import RawReader
from pipeline.stages.ingest.sources.raw_tables import is_placeholder, read_table
from tests.stages.ingest.foreign import zip_of

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

CELL = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    st.sampled_from(
        ["NA", "n/a", "-", "", "  ", 'a "quoted" word', "one, two", "x;y", "p|q", "'", '"', "ä", "痣", "1.0", "#"]
    ),
)
WORD = st.sampled_from(
    ["train", "test", "patch_test", "testset", "nv", "mel", "images", "masks", ".nv", "val 2", "é", "NA"]
)
FILE = st.sampled_from(
    ["1.jpg", "2.JPG", ".jpg", "._1.jpg", "1.png", "1.json", "a.b.c.jpg", "x", "1_mask.png", "Thumbs.db"]
)
PATH = st.builds(lambda words, file: "/".join([*words, file]), st.lists(WORD, max_size=3), FILE)


@fuzzed
@given(
    rows=st.lists(st.lists(CELL, min_size=1, max_size=6), max_size=8),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_every_row_of_a_written_table_is_a_row_or_a_misfit(
    rows: list[list[str]], separator: str, end: str, encoding: str, quoting: int
) -> None:
    header = ["image", "split", "note"]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, lineterminator=end, quoting=quoting).writerows([header, *rows])  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(buffer.getvalue().encode(encoding))
        try:
            table = read_table(path, known=header)
        except UserError as error:
            assert "every row has one cell more" in str(error)  # noqa: PT017 - any other input must not be refused
            assert all(len(row) == len(header) + 1 for row in rows if any(map(str.strip, row)))
            return
    filled = [[cell.strip() for cell in row] for row in rows if any(map(str.strip, row))]
    fitting = [
        ["" if is_placeholder(cell) else cell for cell in row[:3]]
        for row in filled
        if len(row) >= len(header) and not any(row[len(header) :])
    ]
    assert [list(row.values()) for _, row in table.rows] == fitting
    assert len(table.rows) + len(table.misfits) == len(filled)
    assert sorted([number for number, _ in table.rows] + [misfit.number for misfit in table.misfits]) == list(
        range(1, len(filled) + 1)
    )


@fuzzed
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(st.sampled_from('ab1,;|\t"\n\r \ufeffNA'), max_size=200).map(lambda text: text.encode("utf-8")),
        st.binary(max_size=60).map(lambda tail: b"image,split\na,train\n" + tail),
        st.binary(max_size=60).map(lambda tail: b"PK\x03\x04" + tail),
        st.binary(max_size=60).map(lambda tail: b"PAR1" + tail),
    )
)
def test_whatever_is_called_a_table_is_one_or_is_refused_in_a_sentence(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        try:
            table = read_table(path)
            numbers = [number for number, _ in table.rows] + [misfit.number for misfit in table.misfits]
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
            read_split(path)
        except UserError as error:
            assert "t.csv" in str(error)  # noqa: PT017 - any other input must not be refused


@fuzzed
@given(
    names=st.lists(
        st.one_of(
            PATH, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
        ),
        max_size=8,
    ),
    encoding=st.sampled_from([None, "utf-8", "cp437", "cp1252", "gbk", "cp932"]),
    inner=st.booleans(),
)
def test_every_member_of_a_zip_is_an_image_a_reject_or_counted_as_ignored(
    names: list[str],
    encoding: str | None,
    inner: bool,  # noqa: FBT001
) -> None:
    try:
        members = {name: b"\xff\xd8\xff" for name in names if name.encode(encoding or "utf-8")}
        content = zip_of(members, encoding=encoding)
    except (UnicodeError, ValueError):
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        count = sum(not member.orig_filename.endswith(("/", "\\")) for member in archive.infolist())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "set.zip").write_bytes(zip_of({"x/inner.zip": content}) if inner else content)
        listing = class_folders.read(folder, licence="CC0-1.0", attribution="us")
        assert listing.raw_rows + listing.ignored_files == count
        ids = [entry.source_id for entry in listing.entries] + [reject.source_id for reject in listing.rejects]
        assert len(set(ids)) == len(ids)
        with RawReader(folder, max_bytes=100) as reader:
            for entry in listing.entries:
                try:
                    assert reader.read(entry.locator) == b"\xff\xd8\xff"
                except RejectedError:
                    continue


@fuzzed
@given(paths=st.lists(PATH, min_size=1, max_size=10, unique_by=str.casefold), rows=st.lists(PATH, max_size=6))
def test_every_file_and_row_of_an_isic_folder_is_accounted_for(paths: list[str], rows: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in paths:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\xff\xd8\xff")
        ids = [Path(row).stem for row in rows]
        (folder / "metadata.csv").write_text("isic_id,sex\n" + "".join(f"{name},male\n" for name in ids), "utf-8")
        listing = isic.read(folder, licence="CC0-1.0", attribution="us")
    missing = sum(
        reject.reason in {"image_missing", "repeated_id"} and "row" in reject.detail for reject in listing.rejects
    )
    files = listing.raw_rows - missing + listing.ignored_files
    assert files == len(paths) + 1, "each file once, the table among the ignored"


@fuzzed
@given(names=st.lists(PATH, min_size=1, max_size=30, unique=True))
def test_every_file_of_an_audited_tree_is_in_a_split_or_left_out(names: list[str]) -> None:
    try:
        splits, left_out = split_by_folder(names)
    except UserError as error:
        assert "name them so, or give a csv" in str(error)  # noqa: PT017 - any other input must not be refused
        return
    assert sorted([*splits, *left_out]) == sorted(names)
    assert not any(name.rpartition("/")[0] in {"patch_test", "patch_test/nv"} for name in splits)


@fuzzed
@given(names=st.lists(PATH, min_size=1, max_size=12, unique=True), wanted=st.lists(st.one_of(PATH, CELL), max_size=12))
def test_every_row_of_a_split_meets_one_image_or_is_listed(names: list[str], wanted: list[str]) -> None:
    found, problems = match(pd.DataFrame({"row": range(len(wanted)), "image": wanted}), names)
    assert sorted([*found.index, *problems["row"]]) == list(range(len(wanted)))
    assert set(found) <= set(names)
    assert found.is_unique
