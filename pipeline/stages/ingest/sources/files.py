"""Lists and reads what lies in a raw batch: plain files, and members of archives as if these were folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NoReturn, Self

from pipeline.core.errors import UserError
from pipeline.stages.ingest.formats import SIGNATURES
from pipeline.stages.ingest.rows import Locator, Reject, RejectedError
from pipeline.stages.ingest.sources import archives
from pipeline.stages.ingest.sources.archives import ArchiveReader, RawFile, expect_small, printable

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".jp2", ".jxl", ".dcm"),  # known, though not read
)
# What operating systems, version control and notebooks leave beside images.
LITTER = re.compile(
    r"(^|/)(__MACOSX|\.(git|svn|hg|dvc|Trash[^/]*|Trashes|Spotlight-V100|fseventsd|TemporaryItems|thumbnails|"
    r"ipynb_checkpoints|AppleDouble)|@eaDir|\$RECYCLE\.BIN|System Volume Information)/"
    r"|(^|/)(\.DS_Store|Thumbs\.db|ehthumbs\.db|desktop\.ini|Icon\r)$",
    re.IGNORECASE,
)
HIDDEN = re.compile(r"(^|/)\.[^/]")
APPLE_DOUBLE = b"\0\x05\x16\x07"  # begins the file in which macOS keeps what another file system cannot hold


@dataclass(frozen=True, slots=True)
class Raw:
    """What a batch's folder holds.

    files: what may be a raw row, sorted by name; of archives that are not expanded, the archives themselves.
    rejects: links and archives that lead to no file, and the files of archives that are not read.
    notes: what a person should know, in sentences.
    litter: how many files were left by an operating system.
    """

    files: list[RawFile]
    rejects: list[Reject]
    notes: list[str]
    litter: int


def list_raw(folder: Path, *, expand: bool = True) -> Raw:
    """List every file below a folder, links to folders followed, and every member of its archives.

    Raises:
        UserError: a folder cannot be read.

    """
    plain, rejects = _walked(folder)
    files: list[RawFile] = []
    notes: list[str] = []
    for file in plain:
        if not expand or not _is_archive(folder, file):
            files.append(file)
            continue
        try:
            members = archives.list_members(folder, file.locator.file)
        except UserError:
            rejects.append(archives.damaged(folder, file.locator.file))
            continue
        files += members.files
        rejects += members.rejects
        notes += members.notes
    kept, litter = without_litter(folder, files)
    return Raw(kept, rejects, list(dict.fromkeys(notes)), litter)


def without_litter(folder: Path, files: Iterable[RawFile]) -> tuple[list[RawFile], int]:
    """Part the files that count from those that an operating system left; return the former and how many the latter.

    A hidden file counts if its name or its content is an image's: a scraper names files after captions, which may
    begin with a dot, or be empty (`.jpg`).
    """
    everything = list(files)
    with RawReader(folder, max_bytes=archives.MAX_SPOOLED_BYTES) as reader:
        kept = [file for file in everything if not LITTER.search(file.name) and not _is_hidden_litter(reader, file)]
    return kept, len(everything) - len(kept)


def is_image_name(name: str) -> bool:
    """Tell by its name whether a file should be an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


class RawReader:
    """Reads the bytes of located images; a context manager that keeps each archive open while it is needed.

    Args:
        folder: the batch's folder.
        max_bytes: larger images are rejected unread.

    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._archives = ArchiveReader(folder, max_bytes=max_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archives.__exit__(kind, error, trace)

    def read(self, locator: Locator) -> bytes:
        """Read one image.

        Raises:
            RejectedError: it is too large, no regular file, or its archive does not yield it.

        """
        if locator.member is not None:
            return self._archives.read(locator.file, (locator.member, *locator.inner))
        path = self._folder / locator.file
        if not path.is_file():
            raise RejectedError("image_missing", "a broken link, or no regular file")
        expect_small(path.stat().st_size, self._max_bytes)
        try:
            return path.read_bytes()
        except OSError as error:  # its message would quote the name
            raise RejectedError("image_missing", f"cannot be read: {error.strerror}") from error


def _walked(folder: Path) -> tuple[list[RawFile], list[Reject]]:
    """List plain files, sorted by name; each folder once, whatever links lead to it."""
    own = {os.path.realpath(parent) for parent, _, _ in os.walk(folder)}
    listed: list[RawFile] = []
    rejects: list[Reject] = []
    waiting = [folder]
    while waiting:
        for parent, folders, files in os.walk(waiting.pop(), onerror=_stop):
            for name in files:
                relative = str((Path(parent) / name).relative_to(folder))
                listed.append(RawFile(printable(relative), Locator(relative)))
            for link in sorted(Path(parent) / name for name in folders if (Path(parent) / name).is_symlink()):
                below = {os.path.realpath(inner) for inner, _, _ in os.walk(link)}
                if below & own:
                    count = sum(len(names) for _, _, names in os.walk(link))
                    detail = f"a link to a folder that is read elsewhere: its {count} files are not read twice"
                    rejects.append(Reject(printable(str(link.relative_to(folder))), "image_missing", detail))
                else:
                    own |= below
                    waiting.append(link)
    return sorted(listed, key=lambda file: file.name), rejects


def _is_archive(folder: Path, file: RawFile) -> bool:
    """Tell whether a file is an archive by name and content; a pipe is not opened, which might never end."""
    path = folder / file.locator.file
    if not archives.is_archive_name(file.name) or not path.is_file() or not os.access(path, os.R_OK):
        return False
    with path.open("rb") as stream:
        return archives.kind_of(stream) is not None


def _is_hidden_litter(reader: RawReader, file: RawFile) -> bool:
    if not HIDDEN.search(file.name):
        return False
    named = is_image_name(file.name)
    if named and not PurePosixPath(file.name).name.startswith("._"):
        return False
    try:
        content = reader.read(file.locator)
    except RejectedError:
        return not named
    if named:
        return not content or content.startswith(APPLE_DOUBLE)
    return not any(signature.match(content) for signature in SIGNATURES.values())


def _stop(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): mend its permissions") from error
