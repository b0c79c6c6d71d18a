"""`python -m tests.freeze record|compare FILE`: whether a run still ends in what it ended in before the code was moved.

`record` writes down what the finished run in this folder left in `data/` and `reports/`: of every table each column's
type and a digest of its values in row order (vectors bit for bit), of every JSON each value, of every other file a
digest. `compare` holds the run in this folder against such a record; what has been renamed, and what has been deleted
and why, is said in `tests/frozen/moved.py`, and whatever is neither there nor equal is printed.

Records hold on the machine that made them: other processors round differently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

REPORT = ("index.html", "pictures", "plotly.min.js")
NOT_OUTS = ("data/raw/", "data/truth/", "data/.cache/", "data/review/", *(f"reports/{name}" for name in REPORT))
Record = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Moved:
    """What a redesign renamed, deleted and translated; patterns are regular expressions of whole names.

    paths: pattern of an old path to its new path.
    columns: pattern of an old path, to its columns (of a JSON: dotted keys) that have a new name.
    deleted: pattern of `old path:column` to the reason.
    values: pattern of `old path:column` to what turns the new column's values into what they were.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    deleted: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def path(self, old: str) -> str:
        """Return where an old file lies now."""
        for pattern, new in self.paths.items():
            if re.fullmatch(pattern, old):
                return re.sub(pattern, new, old)
        return old

    def column(self, path: str, old: str) -> str:
        """Return what a column of an old file is called now."""
        for pattern, names in self.columns.items():
            if re.fullmatch(pattern, path):
                for name, new in names.items():
                    if re.fullmatch(name, old):
                        return re.sub(name, new, old)
        return old

    def reason(self, path: str, column: str) -> str | None:
        """Return why a column (or with `*` a whole file) was deleted; None: it was not."""
        for name in (f"{path}:{column}", f"{path}:*"):
            for pattern, why in self.deleted.items():
                if re.fullmatch(pattern, name):
                    return why
        return None

    def back(self, path: str, column: str, value: Any) -> Any:
        """Turn a new column's values into the old ones."""
        for pattern, turn in self.values.items():
            if re.fullmatch(pattern, f"{path}:{column}"):
                return turn(value)
        return value


def record(root: Path) -> Record:
    """Write down every file that a run left; a file's columns (or keys) by name."""
    return {path: dict(_digests(content)) for path, content in _files(root)}


def compare(before: Record, root: Path, moved: Moved) -> tuple[list[str], list[str]]:
    """Hold a run against a record.

    Returns:
        differences: what is neither equal nor said to be deleted, one a line.
        exceptions: what is said to be deleted, with the reason.

    """
    now = dict(_files(root))
    differences: list[str] = []
    exceptions: list[str] = []
    met: set[str] = set()
    for path, columns in before.items():
        place = moved.path(path)
        content = now.get(place)
        met.add(place)
        for column, digest in columns.items():
            name, reason = moved.column(path, column), moved.reason(path, column)
            if reason is not None:
                exceptions.append(f"{path}:{column}  {reason}")
            elif content is None or name not in content:
                differences.append(f"{path}:{column}  is gone (wanted {place}:{name})")
            elif not _equal(found := digest_of(moved.back(path, column, content[name])), digest):
                differences.append(f"{path}:{column}  was {digest}, is {found} ({place}:{name})")
    new = [f"{path}  is new" for path in now if path not in met]
    return differences, [*exceptions, *new]


def _equal(a: Any, b: Any) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)  # as text: NaN equals NaN


def digest_of(value: Any) -> Any:
    """Return a column's type and digest, or a JSON value as it is."""
    if isinstance(value, pa.ChunkedArray):
        return [str(value.type), hashlib.sha256(_bytes(value)).hexdigest()[:16]]
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()[:16]
    return value


def _bytes(column: pa.ChunkedArray) -> bytes:
    """Return a column's values as bytes, whatever its chunks and buffers."""
    joined = column.combine_chunks()
    if pa.types.is_fixed_size_list(joined.type):
        flat = joined.flatten().to_numpy(zero_copy_only=False)
        return f"{joined.type} {len(joined)} ".encode() + np.ascontiguousarray(flat).tobytes()
    if pa.types.is_floating(joined.type):
        values = joined.to_numpy(zero_copy_only=False)
        valid: bytes = joined.is_valid().to_numpy(zero_copy_only=False).tobytes()
        return valid + np.ascontiguousarray(values).tobytes()
    return json.dumps(joined.to_pylist(), ensure_ascii=False, default=str).encode()


def _digests(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        yield name, digest_of(value)


def _files(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each file that a run left, as columns by name; of a file that is no table the one column `bytes`."""
    for top in ("data", "reports"):
        for file in sorted((root / top).rglob("*")):
            path = file.relative_to(root).as_posix()
            if file.is_file() and file.name != ".gitignore" and not path.startswith(NOT_OUTS):
                yield path, _content(file)


def _content(file: Path) -> dict[str, Any]:
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        return {name: table.column(name) for name in table.column_names}
    if file.suffix == ".csv":
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        return {str(name): pa.chunked_array([frame[name].tolist()], pa.string()) for name in frame.columns}
    if file.suffix == ".json":
        return dict(_leaves(json.loads(file.read_text("utf-8"))))
    return {"bytes": file.read_bytes()}


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value and any(isinstance(inner, Mapping | list) for inner in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{key}.{place}")
    else:
        yield key, value


def main(arguments: list[str]) -> int:
    """Record or compare the run in this folder; return 1 where something differs."""
    from tests.frozen.moved import MOVED  # noqa: PLC0415 - names this module's class

    parser = argparse.ArgumentParser(prog="python -m tests.freeze", description=__doc__)
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the project whose run it is (default: here)")
    options = parser.parse_args(arguments)
    if options.action == "record":
        found = record(options.root)
        lines = ",\n".join(f" {json.dumps(path)}: {json.dumps(found[path], sort_keys=True)}" for path in sorted(found))
        options.file.write_text(f"{{\n{lines}\n}}\n", "utf-8")
        print(f"{len(found)} files, {sum(map(len, found.values())):,} columns and values")
        return 0
    differences, exceptions = compare(json.loads(options.file.read_text("utf-8")), options.root, MOVED)
    print("\n".join([*exceptions, "", *differences, f"{len(differences)} differences, {len(exceptions)} exceptions"]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
