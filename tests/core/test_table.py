from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.core import table as tables
from pipeline.core.table import Table, TableError, integer, number, text, vector


class Lesions(Table):
    """A table for these tests."""

    key = ("lesion_id",)
    columns = (
        text("lesion_id", "its id"),
        text("colour", "seen", choices=("red", "brown")),
        integer("count", "of images"),
        number("area", "mm²", nullable=True),
        vector("shape", "moments"),
    )


def frame(**changes: list[object]) -> pd.DataFrame:
    columns: dict[str, list[object]] = {
        "lesion_id": ["b", "a", "c"],
        "colour": ["red", "brown", "red"],
        "count": [1, 2, 3],
        "area": [1.5, None, 2.5],
    }
    return pd.DataFrame({**columns, **changes})


SHAPES = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_rows_are_sorted_by_key_and_matrices_follow() -> None:
    arrow = tables.to_arrow(Lesions, frame(), {"shape": SHAPES})
    assert arrow.column("lesion_id").to_pylist() == ["a", "b", "c"]
    assert tables.matrix(arrow, "shape").tolist() == [[2, 3], [0, 1], [4, 5]]


def test_a_matrix_that_was_read_can_be_written_to() -> None:
    tables.matrix(tables.to_arrow(Lesions, frame(), {"shape": SHAPES}), "shape")[0, 0] = 9


def test_an_empty_table_keeps_its_types() -> None:
    arrow = tables.to_arrow(Lesions, Lesions.empty(), {"shape": np.zeros((0, 2), np.float32)})
    assert arrow.num_rows == 0
    assert arrow.schema.field("count").type == pa.int64()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lesion_id": ["a", "a", "b"]}, "same lesion_id"),
        ({"colour": ["red", "green", "red"]}, "green"),
        ({"colour": ["red", None, "red"]}, "colour"),
        ({"count": [1, 2.5, 3]}, "count|truncated"),
        ({"count": ["many", "few", "none"]}, "count"),
        ({"weight": [1, 2, 3]}, "not declared"),
    ],
)
def test_a_broken_contract_is_refused(changes: dict[str, list[object]], sentence: str) -> None:
    with pytest.raises(TableError, match=sentence):
        tables.to_arrow(Lesions, frame(**changes), {"shape": SHAPES})


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(TableError, match="missing"):
        tables.to_arrow(Lesions, frame().drop(columns="colour"), {"shape": SHAPES})


def test_a_matrix_of_another_length_is_refused() -> None:
    with pytest.raises(TableError, match="shape"):
        tables.to_arrow(Lesions, frame(), {"shape": SHAPES[:2]})


@pytest.mark.parametrize(("given", "kept"), [("float16", "float16"), ("float32", "float32"), ("float64", "float16")])
def test_a_matrix_of_the_column_s_other_type_keeps_it(given: str, kept: str) -> None:
    class Either(Table):
        key = ("name",)
        columns = (text("name", "its id"), vector("shape", "moments", of=pa.float16(), or_of=pa.float32()))

    names = pd.DataFrame({"name": ["a", "b", "c"]})
    arrow = tables.to_arrow(Either, names, {"shape": SHAPES.astype(given)})
    assert tables.matrix(arrow, "shape").dtype == kept
    wrong = tables.to_arrow(Lesions, frame(), {"shape": SHAPES.astype(given)})
    assert tables.matrix(wrong, "shape").dtype == np.float32


def test_a_column_of_another_type_is_refused() -> None:
    class Doubles(Table):
        key = Lesions.key
        columns = (*Lesions.columns[:-1], vector("shape", "moments", of=pa.float64()))

    with pytest.raises(TableError, match=r"Lesions\.shape is double, not float"):
        tables.check(Lesions, tables.to_arrow(Doubles, frame(), {"shape": SHAPES}))


def test_a_file_follows_from_the_class() -> None:
    assert Lesions.file_name() == "lesions.parquet"
