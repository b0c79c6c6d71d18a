"""Tables as contracts: what a stage yields is declared once and checked on every write and read.

A table is a subclass of `Table` with a `key` and `columns`; it is never instantiated. Scalars live in a pandas frame;
vectors (embeddings, hashes, probabilities) are matrices beside it, one row an image, because objects in a frame cost a
hundred times their size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa


class TableError(ValueError):
    """A frame breaks its table's contract: a bug of the stage that wrote it, or a file that was changed by hand."""


@dataclass(frozen=True)
class Column:
    """A named, typed, documented column.

    `nullable` ones may be missing, `choices` lists the values allowed; vectors may be of the type `or_of` instead.
    """

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False
    choices: tuple[str, ...] = ()
    vector: bool = False
    or_of: pa.DataType | None = None


def text(name: str, doc: str, *, nullable: bool = False, choices: tuple[str, ...] = ()) -> Column:
    """Declare a string column."""
    return Column(name, pa.string(), doc, nullable, choices)


def texts(name: str, doc: str) -> Column:
    """Declare a column of lists of strings."""
    return Column(name, pa.list_(pa.string()), doc)


def integers(name: str, doc: str) -> Column:
    """Declare a column of lists of int64."""
    return Column(name, pa.list_(pa.int64()), doc)


def integer(name: str, doc: str) -> Column:
    """Declare an int64 column."""
    return Column(name, pa.int64(), doc)


def number(name: str, doc: str, *, nullable: bool = False) -> Column:
    """Declare a float64 column."""
    return Column(name, pa.float64(), doc, nullable)


def flag(name: str, doc: str) -> Column:
    """Declare a boolean column."""
    return Column(name, pa.bool_(), doc)


def vector(name: str, doc: str, *, of: pa.DataType | None = None, or_of: pa.DataType | None = None) -> Column:
    """Declare a matrix column, float32 unless `of` says otherwise; its width is fixed by the first write.

    With `or_of`, a matrix that has this type keeps it.
    """
    return Column(name, of or pa.float32(), doc, vector=True, or_of=or_of)


class Table:
    """Base of all tables."""

    key: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[Column, ...]]

    @classmethod
    def stage(cls) -> str:
        """Name of the stage that writes the table: the package that declares it."""
        return cls.__module__.split(".")[-2]

    @classmethod
    def file_name(cls) -> str:
        """File name, from the class name: `LabelScores` is `label_scores.parquet`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower() + ".parquet"

    @classmethod
    def scalars(cls) -> tuple[Column, ...]:
        """Columns that live in the frame."""
        return tuple(column for column in cls.columns if not column.vector)

    @classmethod
    def vectors(cls) -> tuple[Column, ...]:
        """Columns that are matrices beside the frame."""
        return tuple(column for column in cls.columns if column.vector)

    @classmethod
    def empty(cls) -> pd.DataFrame:
        """Return a frame without rows, with every scalar column."""
        frame: pd.DataFrame = _schema(cls).empty_table().to_pandas()
        return frame


def to_arrow(table: type[Table], frame: pd.DataFrame, matrices: Mapping[str, np.ndarray[Any, Any]]) -> pa.Table:
    """Check a frame and its matrices against the contract; return them as one Arrow table sorted by key.

    Args:
        table: the contract.
        frame: one row an item, exactly the scalar columns, in any order.
        matrices: for every vector column an array of shape (rows, width).

    Raises:
        TableError: says which column or row breaks the contract.

    """
    _expect_names(table, "columns", {c.name for c in table.scalars()}, set(frame.columns))
    _expect_names(table, "matrices", {c.name for c in table.vectors()}, set(matrices))
    for name, values in matrices.items():
        if values.ndim != 2 or len(values) != len(frame):  # noqa: PLR2004 - a matrix
            raise TableError(f"{table.__name__}.{name} has shape {values.shape} for {len(frame)} rows")
    order = np.lexsort([frame[name].to_numpy(dtype=object).astype(str) for name in reversed(table.key)])
    schema = _schema(table)
    try:
        arrow = pa.Table.from_pandas(frame.iloc[order][schema.names], schema=schema, preserve_index=False, safe=True)
    except (ValueError, TypeError) as error:  # Arrow's own errors are of these kinds
        raise TableError(f"{table.__name__}: {error}") from error
    arrow = arrow.replace_schema_metadata(None)
    for column in table.vectors():
        values = matrices[column.name]
        keeps = column.or_of is not None and pa.from_numpy_dtype(values.dtype) == column.or_of
        kind: pa.DataType = column.or_of if keeps else column.type
        sorted_rows = np.ascontiguousarray(values[order], dtype=kind.to_pandas_dtype())
        lists = pa.FixedSizeListArray.from_arrays(pa.array(sorted_rows.reshape(-1)), sorted_rows.shape[1])
        arrow = arrow.append_column(pa.field(column.name, lists.type, nullable=False), lists)
    check(table, arrow)
    return arrow


def check(table: type[Table], arrow: pa.Table) -> None:
    """Check an Arrow table against the contract: names, types, missing values, choices, unique key.

    Raises:
        TableError: says what is wrong and where.

    """
    check_schema(table, arrow.schema)
    check_values(table, arrow)


def check_schema(table: type[Table], schema: pa.Schema) -> None:
    """Check names and types alone, which costs no reading of rows."""
    _expect_names(table, "columns", {c.name for c in table.columns}, set(schema.names))
    for column in table.columns:
        kind = schema.field(column.name).type
        kind = kind.value_type if column.vector else kind
        if all(kind != allowed for allowed in (column.type, column.or_of) if allowed is not None):
            raise TableError(f"{table.__name__}.{column.name} is {kind}, not {column.type}")


def check_values(table: type[Table], arrow: pa.Table) -> None:
    """Check the rows of those columns that `arrow` holds."""
    for column in table.columns:
        if column.name not in arrow.column_names:
            continue
        data = arrow.column(column.name)
        if data.null_count and not column.nullable:
            raise TableError(f"{table.__name__}.{column.name} misses {data.null_count} values")
        if column.choices:
            unknown = set(data.unique().to_pylist()) - {*column.choices, None}
            if unknown:
                raise TableError(f"{table.__name__}.{column.name} holds {sorted(unknown)}, not of {column.choices}")
    if set(table.key) <= set(arrow.column_names):
        keys = arrow.select(list(table.key))
        if len(keys.group_by(list(table.key)).aggregate([])) != len(keys):
            raise TableError(f"{table.__name__} holds rows with the same {', '.join(table.key)}")


def matrix(arrow: pa.Table, name: str) -> np.ndarray[Any, Any]:
    """Read a vector column as one writable array of shape (rows, width)."""
    values = arrow.column(name).combine_chunks()
    width = values.type.list_size
    return np.array(values.flatten().to_numpy(zero_copy_only=False)).reshape(-1, width)


def _schema(table: type[Table]) -> pa.Schema:
    return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in table.scalars()])


def _expect_names(table: type[Table], what: str, expected: set[str], present: set[str]) -> None:
    if expected != present:
        raise TableError(
            f"{table.__name__}: {what} missing {sorted(expected - present)}, not declared {sorted(present - expected)}"
        )
