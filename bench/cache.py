"""What is kept between runs, named after all that it follows from, code included."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO


def key_of(parts: Sequence[object]) -> str:
    """Name a file or folder after what its content follows from: values whose `repr` tells all."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def code_digest(sources: Iterable[str | Path]) -> str:
    """Digest source files: of modules by name, of a package with all it holds, and of paths.

    A result that is kept under it is made anew once the code that made it changes.
    """
    digest = hashlib.sha256()
    for source in sources:
        for path in [source] if isinstance(source, Path) else _files(source):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that has its name once all of it is written: a killed run leaves no half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


def _files(module: str) -> list[Path]:
    path = Path(str(import_module(module).__file__))
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
