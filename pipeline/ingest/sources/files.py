"""Lists and reads what lies in a raw batch: plain files and members of zips, which are streamed and never unpacked."""

from __future__ import annotations

import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NoReturn, Self

from pipeline.core.errors import UserError
from pipeline.ingest.rows import Locator, RejectedError

# What operating systems leave beside images: hidden files and folders, resource forks, thumbnail caches.
LITTER = re.compile(r"(^|/)(\.[^./][^/]*|__MACOSX|Thumbs\.db|ehthumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)

# What zipfile raises on damaged directories and members; of bzip2 it is an OSError.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, struct.error)

BACKSLASH = "\\"  # how some programs on Windows part folders within a zip, against its standard


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of a batch, or a member of one of its zips.

    name: printable path relative to the batch; a member's begins with its zip's, as if the zip were a folder.
    """

    name: str
    locator: Locator

    @property
    def stem(self) -> str:
        """File name without folders and extension: what metadata calls an image."""
        return PurePosixPath(self.name).stem


def list_files(folder: Path) -> list[RawFile]:
    """List every file below a folder, sorted by name; zips are listed as files.

    Raises:
        UserError: a folder cannot be read.

    """
    found = []
    for parent, folders, files in os.walk(folder, onerror=_stop):
        # A link to a folder is listed as a file, and reading it is refused: following it could go round in circles.
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in [*files, *links]:
            relative = str((Path(parent) / name).relative_to(folder))
            found.append(RawFile(_printable(relative), Locator(relative)))
    return sorted(found, key=lambda file: file.name)


def list_members(folder: Path, file: str) -> list[RawFile]:
    """List every file within a zip, in the order of its directory.

    Raises:
        UserError: it is no readable zip.

    """
    try:
        with zipfile.ZipFile(folder / file) as archive:
            members = archive.infolist()
    except (NotImplementedError, *DAMAGED) as error:
        raise UserError(f"{file} in {folder} is not a readable zip ({error}): fetch it again") from error
    return [
        RawFile(_printable(f"{file}/{member.filename}".replace(BACKSLASH, "/")), Locator(file, position))
        for position, member in enumerate(members)
        if not member.is_dir()
    ]


def without_litter(files: Iterable[RawFile]) -> tuple[list[RawFile], int]:
    """Part the files that count from those that an operating system left; return the former and how many the latter."""
    everything = list(files)
    kept = [file for file in everything if not LITTER.search(file.name)]
    return kept, len(everything) - len(kept)


class RawReader:
    """Reads the bytes of located images; a context manager that keeps each zip open while it is needed.

    Args:
        folder: the batch's folder.
        max_bytes: larger images are rejected unread.

    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def read(self, locator: Locator) -> bytes:
        """Read one image.

        Raises:
            RejectedError: it is too large, no regular file, or its zip does not yield it.

        """
        if locator.member is not None:
            return self._read_member(locator.file, locator.member)
        path = self._folder / locator.file
        if not path.is_file():
            raise RejectedError("image_missing", "a broken link, a link to a folder, or no regular file")
        self._expect_small(path.stat().st_size)
        try:
            return path.read_bytes()
        except OSError as error:  # its message would quote the name
            raise RejectedError("image_missing", f"cannot be read: {error.strerror}") from error

    def _read_member(self, file: str, position: int) -> bytes:
        if file not in self._archives:
            self._archives[file] = self._open.enter_context(zipfile.ZipFile(self._folder / file))
        archive = self._archives[file]
        member = archive.infolist()[position]
        self._expect_small(member.file_size)
        # Messages of zipfile quote the member's name, which may identify a patient.
        try:
            return archive.read(member)
        except RuntimeError as error:
            raise RejectedError(
                "undecodable", "encrypted, or compressed by an unknown method, within its zip"
            ) from error
        except DAMAGED as error:
            raise RejectedError("undecodable", "damaged within its zip") from error

    def _expect_small(self, size: int) -> None:
        if size > self._max_bytes:
            raise RejectedError("too_large", f"{size} bytes, more than ingest.limits.max_bytes = {self._max_bytes}")


def zips(files: Iterable[RawFile], folder: Path) -> Iterator[RawFile]:
    """Yield those files that are readable zips, by name and content; a pipe is not opened, which might never end."""
    for file in files:
        path = folder / file.locator.file
        if file.name.lower().endswith(".zip") and path.is_file() and zipfile.is_zipfile(path):
            yield file


def _printable(name: str) -> str:
    """Return a name as valid Unicode: bytes of a file name that are no UTF-8 become hexadecimal escapes."""
    return str(PurePosixPath(os.fsencode(name).decode("utf-8", "backslashreplace"))).lstrip("/")


def _stop(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): mend its permissions") from error
