"""Reads splits as people keep them in tables: a row names an image, its split and, where known, lesion and patient."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from pipeline.commands.audit_split.split_folders import split_of_word
from pipeline.core.errors import UserError
from pipeline.stages.ingest.sources.files import IMAGE_SUFFIXES
from pipeline.stages.ingest.sources.raw_tables import RawTable, read_table

# The usual names of columns, as `column_name` spells them; the first that a table has counts.
COLUMNS = {
    "image": (
        *(
            "image",
            "image_id",
            "isic_id",
            "image_name",
            "file",
            "filename",
            "file_name",
            "path",
            "filepath",
            "file_path",
        ),
        *("image_path", "image_file", "img_path", "img", "img_id", "img_name", "picture", "photo", "name", "id"),
    ),
    "split": ("split", "set", "subset", "partition", "fold", "phase", "dataset_split", "data_split", "usage"),
    "lesion_id": ("lesion_id", "lesion", "lesion_name"),
    "patient_id": ("patient_id", "patient", "patient_name", "subject", "subject_id", "case_id", "pid"),
}
NEEDED = ("image", "split")


def read_split(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a split file: any table that `raw_tables` reads; the columns' usual names are known, in any spelling.

    Returns:
        row (from 1 below the header), image (as the file names it), split, lesion_id, patient_id (missing where the
        file
            does not say)
        row, name, problem: of the rows that name no image or no split, or do not fit the header.

    Raises:
        UserError: it cannot be read, has no such columns, or puts one image into two splits.

    """
    table = read_table(path, known=[name for names in COLUMNS.values() for name in names])
    chosen = {field: next((name for name in names if name in table.columns), None) for field, names in COLUMNS.items()}
    for field in NEEDED:
        if chosen[field] is None:
            known, there = COLUMNS[field], ", ".join(table.columns.values())
            raise UserError(f"{path} has the columns {there}: name one of them {known[0]} (or {', '.join(known[1:])})")
    cells = [(number, *(row[name] if name else "" for name in chosen.values())) for number, row in table.rows]
    rows = pd.DataFrame(cells, columns=["row", *chosen])
    rows["split"] = rows["split"].map(lambda text: split_of_word(text) or text.casefold())
    problems = _problems(table, rows)
    rows = rows[~rows["row"].isin(problems["row"])].drop_duplicates(["image", "split"])
    rows[["lesion_id", "patient_id"]] = rows[["lesion_id", "patient_id"]].astype(object).replace("", None)
    twice = rows.loc[rows["image"].duplicated(), "image"]
    if len(twice):
        raise UserError(f"{path}: {len(twice)} images are in two splits by name, the first is {twice.iloc[0]}")
    return rows.reset_index(drop=True), problems


def match(rows: pd.DataFrame, names: Iterable[str]) -> tuple[pd.Series[str], pd.DataFrame]:
    """Find the image that each row names: the one with the longest common end of path.

    Separators, `./`, drives, upper case and the extension do not matter, unless they alone tell two images apart. An
    image that several rows name belongs to the one that shares more of its path.

    Args:
        rows: row, image.
        names: paths of the images there are.

    Returns:
        image by row, of the rows that meet one
        row, name, problem: of those that meet none or several.

    """
    index: dict[str, list[str]] = {}
    for name in names:
        index.setdefault(_parts(name)[-1].casefold(), []).append(name)
    claims: dict[str, list[tuple[tuple[int, bool, bool], int]]] = {}
    wanted = dict(zip(rows["row"], rows["image"], strict=True))
    problems: dict[int, str] = {}
    for row, name in wanted.items():
        scored = [(_common(name, candidate), candidate) for candidate in index.get(_parts(name)[-1].casefold(), [])]
        best = max((score for score, _ in scored), default=None)
        fitting = [candidate for score, candidate in scored if score == best]
        if best is None:
            problems[row] = "names no image"
        elif len(fitting) > 1:
            problems[row] = f"fits {len(fitting)} images, such as {fitting[0]} and {fitting[1]}"
        else:
            claims.setdefault(fitting[0], []).append((best, row))
    image_of: dict[int, str] = {}
    for image, claimed in claims.items():
        score, row = max(claimed)
        best_rows = [other for claim, other in claimed if claim == score]
        if len(best_rows) == 1:
            image_of[row] = image
        for _, other in claimed:
            if other != row or len(best_rows) > 1:
                problems[other] = f"names {image}, as another row does"
    listed = [(row, wanted[row], problem) for row, problem in sorted(problems.items())]
    return pd.Series(image_of, dtype=object), pd.DataFrame(listed, columns=["row", "name", "problem"])


def _problems(table: RawTable, rows: pd.DataFrame) -> pd.DataFrame:
    listed = [(misfit.number, "", f"does not fit the header: {misfit.detail}") for misfit in table.misfits]
    blank = rows[(rows["image"] == "") | (rows["split"] == "")]
    listed += [
        (row, image, "names no image or no split") for row, image in zip(blank["row"], blank["image"], strict=True)
    ]
    return pd.DataFrame(sorted(listed), columns=["row", "name", "problem"])


def _parts(name: str) -> list[str]:
    """Part a path at whatever separates folders; the last part loses an image's extension."""
    split = re.split(r"[\\/:]+", unicodedata.normalize("NFC", name))
    parts = [part.strip() for part in split if part.strip() not in {"", ".", ".."}]
    *folders, file = parts or [""]
    suffix = next((end for end in IMAGE_SUFFIXES if file.lower().endswith(end) and len(file) > len(end)), "")
    return [*folders, file[: len(file) - len(suffix)]]


def _common(one: str, other: str) -> tuple[int, bool, bool]:
    """Say how much of two paths' ends agrees: parts in whatever case, then the extension, then letter by letter."""
    count = 0
    for a, b in _pairs(_parts(one), _parts(other)):
        if a.casefold() != b.casefold():
            break
        count += 1
    last = [re.split(r"[\\/:]+", name.strip())[-1] for name in (one, other)]
    return count, last[0].casefold() == last[1].casefold(), last[0] == last[1]


def _pairs(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(reversed(one), reversed(other), strict=False)
