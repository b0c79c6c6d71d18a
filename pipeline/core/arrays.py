"""Arrays too large to send to every worker: written once into a scratch folder, then memory-mapped where needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


class SharedArrays:
    """Named arrays in files; cheap to pickle, because only paths, types and shapes travel.

    Args:
        files: path, type and shape of each, by name.

    """

    def __init__(self, files: Mapping[str, tuple[Path, str, tuple[int, ...]]]) -> None:
        self._files = dict(files)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Map one array into memory, read-only."""
        return _mapped(*self._files[name])

    @classmethod
    def write(cls, folder: Path, parts: Iterable[Mapping[str, NDArray[Any]]]) -> SharedArrays:
        """Write parts one below the other; only one part is in memory at a time.

        Args:
            folder: existing; files in it are replaced.
            parts: one or more mappings of the same names to arrays that differ in length only.

        """
        written: dict[str, tuple[Path, str, tuple[int, ...]]] = {}
        with ExitStack() as stack:
            files: dict[str, IO[bytes]] = {}
            for part in parts:
                for name, array in part.items():
                    if name not in files:
                        files[name] = stack.enter_context((folder / f"{name}.array").open("wb"))
                        written[name] = (folder / f"{name}.array", array.dtype.str, (0, *array.shape[1:]))
                    files[name].write(np.ascontiguousarray(array).data)
                    path, kind, shape = written[name]
                    written[name] = (path, kind, (shape[0] + len(array), *shape[1:]))
        return cls(written)


@lru_cache(maxsize=16)
def _mapped(path: Path, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if shape[0] == 0:  # an empty file cannot be mapped
        return np.zeros(shape, kind)
    return np.memmap(path, dtype=kind, mode="r", shape=shape)
