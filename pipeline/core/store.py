"""The only door to the data folder: tables are validated, written whole or not at all, and every access is recorded.

`reads` and `writes` are what `tests/test_wiring.py` holds against dvc.yaml, so a stage cannot touch a file that DVC
does not know of.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core import table as tables
from pipeline.core.errors import UserError
from pipeline.core.table import Table, TableError

Instances = str | Sequence[str] | None


class Store:
    """Reads and writes what stages exchange, below one project folder.

    Args:
        root: the project's folder: holds `data/` and `reports/`.

    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reads: set[str] = set()
        self.writes: set[str] = set()

    def read(self, table: type[Table], instances: Instances = None) -> pd.DataFrame:
        """Read a table's scalar columns, sorted by key within each instance.

        Args:
            table: what to read.
            instances: one, a list (rows are concatenated in that order), or None where the stage has none.

        Raises:
            UserError: the file is missing or is not what the table says.

        """
        names = [column.name for column in table.scalars()]
        frame: pd.DataFrame = self._arrow(table, instances, names).to_pandas()
        return frame

    def vectors(self, table: type[Table], name: str, instances: Instances = None) -> np.ndarray[Any, Any]:
        """Read one vector column as an array of shape (rows, width), in the row order of `read`."""
        return tables.matrix(self._arrow(table, instances, [name]), name)

    def write(
        self,
        table: type[Table],
        frame: pd.DataFrame,
        *,
        instance: str | None = None,
        vectors: Mapping[str, np.ndarray[Any, Any]] | None = None,
    ) -> None:
        """Validate a table, sort it by key and write it: the file appears whole or not at all.

        Args:
            table: the contract.
            frame: its scalar columns.
            instance: of a `foreach` or `matrix` stage.
            vectors: for every vector column an array of shape (rows, width).

        Raises:
            TableError: the frame breaks the contract.

        """
        arrow = tables.to_arrow(table, frame, vectors or {})
        with self.output(self._relative(table, instance)) as temporary:
            pq.write_table(arrow, temporary, compression="zstd", store_schema=True)

    def report(self, relative: str, content: Mapping[str, Any] | pd.DataFrame) -> None:
        """Write `reports/<relative>`: a mapping as JSON, a frame as CSV."""
        if isinstance(content, pd.DataFrame):
            with self.output(f"reports/{relative}") as temporary:
                content.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
        else:
            self.write_json(f"reports/{relative}", content)

    def read_report(self, relative: str) -> dict[str, Any]:
        """Read back the JSON of `reports/<relative>`.

        Raises:
            UserError: it does not exist.

        """
        return self.read_json(f"reports/{relative}")

    def write_json(self, relative: str, content: Mapping[str, Any]) -> None:
        """Write a mapping with sorted keys."""
        with self.output(relative) as temporary:
            temporary.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")

    def read_json(self, relative: str) -> dict[str, Any]:
        """Read what `write_json` wrote.

        Raises:
            UserError: it does not exist.

        """
        report: dict[str, Any] = json.loads(self.input(relative).read_text("utf-8"))
        return report

    def input(self, relative: str) -> Path:
        """Return the path of an input that is not a table (archive, weights file), and record that it is read.

        Raises:
            UserError: it does not exist.

        """
        path = self.root / relative
        if not path.exists():
            raise UserError(f"{relative} does not exist in {self.root}: {_remedy(relative)}")
        self.reads.add(relative)
        return path

    @contextmanager
    def output(self, relative: str) -> Iterator[Path]:
        """Yield a temporary path beside `relative`; renamed to it (file or folder) when the block ends well."""
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.partial")
        _remove(temporary)
        yield temporary
        _remove(path)
        temporary.replace(path)
        self.writes.add(relative)

    def scratch(self, params: object, *, keep: str) -> Path:
        """Return a folder for work that outlives a killed run: the same inputs, params and code get the same folder.

        The digest covers everything read through this store so far, `params`, and the source of every loaded module of
        the pipeline. The folder is deleted by `sweep` once the stage has succeeded.

        Args:
            params: the stage's params (their `repr` is hashed).
            keep: stage and instance, so that `sweep` finds it.

        """
        digest = hashlib.sha256(repr(params).encode())
        for relative in sorted(self.reads):
            digest.update(relative.encode())
            digest.update(_fingerprint(self.root / relative))
        for name in sorted(name for name in sys.modules if name.startswith("pipeline.")):
            source = getattr(sys.modules[name], "__file__", None)
            if source and name != "pipeline.params":
                digest.update(Path(source).read_bytes())
        folder = self.root / "data/.cache/work" / keep / digest.hexdigest()[:32]
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.parent.iterdir():
            if stale != folder:
                _remove(stale)
        return folder

    def sweep(self, keep: str) -> None:
        """Delete the resumable work of a stage that has succeeded."""
        _remove(self.root / "data/.cache/work" / keep)

    def _arrow(self, table: type[Table], instances: Instances, columns: list[str]) -> pa.Table:
        if instances is None or isinstance(instances, str):
            return self._one(table, instances, columns)
        if not instances:
            raise UserError(f"no instance of {table.stage()} is listed in params.yaml: list at least one")
        return pa.concat_tables([self._one(table, instance, columns) for instance in instances])

    def _one(self, table: type[Table], instance: str | None, columns: list[str]) -> pa.Table:
        relative = self._relative(table, instance)
        path = self.input(relative)
        try:
            tables.check_schema(table, pq.read_schema(path))
            arrow = pq.read_table(path, columns=columns)
            tables.check_values(table, arrow)
        except (pa.ArrowInvalid, TableError) as error:
            remedy = f"delete it and run `dvc repro {table.stage()}` again"
            raise UserError(f"{relative} is not a valid table ({error}): {remedy}") from error
        return arrow

    def _relative(self, table: type[Table], instance: str | None) -> str:
        folder = f"data/{table.stage()}/{instance}" if instance else f"data/{table.stage()}"
        return f"{folder}/{table.file_name()}"


def _remedy(relative: str) -> str:
    match = re.match(r"data/raw/([^/]+)", relative)
    if match:
        return "run `python -m pipeline fetch weights`" if match[1] == "weights" else f"fetch batch {match[1]} first"
    return "run `dvc repro`"


def _fingerprint(path: Path) -> bytes:
    """Digest a small file's bytes; of a folder or a large file, names, sizes and times, which is cheap and enough."""
    if path.is_file() and path.stat().st_size < 1 << 28:
        return hashlib.sha256(path.read_bytes()).digest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        stat = file.stat()
        digest.update(f"{file.relative_to(path.parent)} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.digest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
