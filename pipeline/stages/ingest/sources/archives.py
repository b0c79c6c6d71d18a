"""What lies in archives: members of zips and tars are listed and read where they are, in archives within archives too.

A 7z or a RAR is listed, not read: each of its files becomes a reject of its own, so that nobody takes a whole class
for one broken file. Of an archive whose directory is damaged the files are counted as well as can be.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, NamedTuple, Protocol, Self

import charset_normalizer
import py7zr
import rarfile

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Locator, Reject, RejectedError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".7z", ".rar")
MAX_DEPTH = 3  # archives within archives; a file that unpacks to itself would go on for ever
MAX_SPOOLED_BYTES = 1 << 35

# What parsers raise on damaged directories and members; of bzip2 it is an OSError.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    py7zr.exceptions.ArchiveError,
    rarfile.Error,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    NotImplementedError,
    RuntimeError,
)

BACKSLASH = "\\"  # how some programs on Windows part folders within a zip, against its standard
UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075  # an extra field of a zip's entry (APPNOTE 4.6.9): version, CRC of the plain name, name in UTF-8
# Encodings of names in zips that state none; the names of one archive are guessed together.
GUESSED = ("utf_8", "cp1252", "gbk", "cp932")
FEW_LETTERS = 2  # so many accented letters stand side by side in European words
HIGH = re.compile(rb"[\x80-\xff]+")
LOCAL_HEADER = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of a batch, or a member of one of its archives.

    name: printable path relative to the batch; a member's begins with its archive's, as if that were a folder.
    """

    name: str
    locator: Locator

    @property
    def folders(self) -> list[str]:
        """Names of the folders that the file lies in, the outermost first."""
        return self.name.split("/")[:-1]

    @property
    def stem(self) -> str:
        """File name without folders and extension: what metadata calls an image."""
        file = self.name.rpartition("/")[2]
        return file[: len(file) - len(self.suffix)]

    @property
    def suffix(self) -> str:
        """Extension with its dot, as it is spelt; of a name that only begins with a dot there is none."""
        file = self.name.rpartition("/")[2]
        place = file.rfind(".")
        return file[place:] if 0 < place < len(file) - 1 else ""


class Members(NamedTuple):
    """What an archive holds: files that can be read, one reject for each that cannot, and notes for people."""

    files: list[RawFile]
    rejects: list[Reject]
    notes: list[str]


def is_archive_name(name: str) -> bool:
    """Tell by its name whether a file should be an archive."""
    return name.lower().endswith(SUFFIXES)


def kind_of(file: IO[bytes]) -> str | None:
    """Tell by content what kind of archive a file is: `zip`, `tar`, `7z`, `rar`, or None."""
    file.seek(0)
    head = file.read(8)
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    if head.startswith(b"Rar!\x1a\x07"):
        return "rar"
    if head.startswith((LOCAL_HEADER, b"PK\x05\x06")) or zipfile.is_zipfile(file):
        return "zip"
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:*"):
            return "tar"
    except DAMAGED:
        return None


def list_members(folder: Path, file: str) -> Members:
    """List every file within an archive, and within archives in it, in the order of their directories.

    Raises:
        UserError: its directory cannot be read.

    """
    with ArchiveReader(folder, max_bytes=MAX_SPOOLED_BYTES) as reader:
        try:
            return _listed(reader, file, printable(file), ())
        except DAMAGED as error:
            raise UserError(f"{file} in {folder} is not a readable zip or tar ({error}): fetch it again") from error


def damaged(folder: Path, file: str) -> Reject:
    """Make the reject of an archive whose directory cannot be read, with a count of what is lost."""
    with (folder / file).open("rb") as stream:
        lost = _local_headers(stream)
    return Reject(printable(file), "undecodable", f"an archive whose directory is damaged: {lost}; fetch it again")


class ArchiveReader:
    """Reads members of archives; a context manager that keeps each archive open while it is needed.

    Args:
        folder: the batch's folder.
        max_bytes: larger members are rejected unread.

    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._streams: dict[tuple[str, tuple[int, ...]], IO[bytes]] = {}
        self._archives: dict[tuple[str, tuple[int, ...]], _Archive] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def read(self, file: str, positions: tuple[int, ...]) -> bytes:
        """Read a member: of `file` at the first position, of the archive that lies there at the next, and so on.

        Raises:
            RejectedError: it is too large, or its archive does not yield it.

        """
        # Messages of the parsers quote the member's name, which may identify a patient.
        try:
            archive = self.archive(file, positions[:-1])
            expect_small(archive.size(positions[-1]), self._max_bytes)
            with archive.open(positions[-1]) as member:
                return member.read()
        except RuntimeError as error:
            raise RejectedError(
                "undecodable", "encrypted, or compressed by an unknown method, within its archive"
            ) from error
        except DAMAGED as error:
            raise RejectedError("undecodable", "damaged within its archive") from error

    def stream(self, file: str, positions: tuple[int, ...]) -> IO[bytes]:
        """Open an archive's bytes: the file itself, or a member that is copied to a temporary file, once."""
        key = (file, positions)
        if key not in self._streams:
            self._streams[key] = self._spooled(file, positions)
        return self._streams[key]

    def _spooled(self, file: str, positions: tuple[int, ...]) -> IO[bytes]:
        if not positions:
            return self._open.enter_context((self._folder / file).open("rb"))
        spooled = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        outer = self.archive(file, positions[:-1])
        with outer.open(positions[-1]) as source:
            _copy(source, spooled)
        return spooled

    def archive(self, file: str, positions: tuple[int, ...]) -> _Archive:
        """Open an archive, or take it from those that are open."""
        key = (file, positions)
        if key not in self._archives:
            stream = self.stream(file, positions)
            self._archives[key] = OPENERS[kind_of(stream) or "zip"](stream, self._open)
        return self._archives[key]


class _Archive(Protocol):
    """A directory of members by position, and their bytes."""

    def names(self) -> tuple[dict[int, str], str | None]:
        """Return the names of the files by position, and the encoding if it was guessed."""
        ...

    def size(self, position: int) -> int:
        """Return a member's bytes, as the directory says."""
        ...

    def open(self, position: int) -> IO[bytes]:
        """Open a member for reading."""
        ...


class _Zip:
    def __init__(self, stream: IO[bytes], _: ExitStack) -> None:
        self._zip = zipfile.ZipFile(stream)
        self._members = self._zip.infolist()

    def names(self) -> tuple[dict[int, str], str | None]:
        ends = ("/", BACKSLASH)  # of folders
        members = {i: info for i, info in enumerate(self._members) if not info.orig_filename.endswith(ends)}
        stated = {i: name for i, info in members.items() if (name := _stated_name(info)) is not None}
        plain = {i: info.orig_filename.encode("cp437") for i, info in members.items() if i not in stated}
        encoding = guess_encoding(plain.values())
        named = stated | {i: raw.decode(encoding or "ascii", "backslashreplace") for i, raw in plain.items()}
        return {i: named[i].partition("\0")[0].replace(BACKSLASH, "/") for i in members}, encoding

    def size(self, position: int) -> int:
        return self._members[position].file_size

    def open(self, position: int) -> IO[bytes]:
        return self._zip.open(self._members[position])


class _Tar:
    """A compressed one is unpacked to a temporary file first, since members are read in any order."""

    def __init__(self, stream: IO[bytes], closing: ExitStack) -> None:
        self._tar = tarfile.open(  # noqa: SIM115 - lives as long as the stream
            fileobj=_unpacked(stream, closing), mode="r:", encoding="utf-8", errors="surrogateescape"
        )
        self._members = self._tar.getmembers()

    def names(self) -> tuple[dict[int, str], str | None]:
        return {i: member.name for i, member in enumerate(self._members) if not member.isdir()}, None

    def size(self, position: int) -> int:
        return self._members[position].size

    def open(self, position: int) -> IO[bytes]:
        opened = self._tar.extractfile(self._members[position])
        if opened is None:
            raise tarfile.ReadError("no regular file")
        return opened


def guess_encoding(names: Iterable[bytes]) -> str | None:
    """Guess in which encoding an archive's names are that states none; None where all are ASCII.

    UTF-8 where all names are valid in it. Else cp437, the format's own, where high bytes stand alone or in twos and are
    Latin letters in it and not in cp1252; else what charset_normalizer finds likeliest of GUESSED.
    """
    high = sorted({name for name in names if HIGH.search(name)})
    if not high:
        return None
    joined = b"\n".join(high)
    try:
        joined.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return "utf_8"
    runs = HIGH.findall(joined)
    if all(len(run) <= FEW_LETTERS and _is_latin(run, "cp437") for run in runs) and not all(
        _is_latin(run, "cp1252") for run in runs
    ):
        return "cp437"
    best = charset_normalizer.from_bytes(joined, cp_isolation=list(GUESSED)).best()
    return best.encoding if best else "cp437"


def expect_small(size: int, max_bytes: int) -> None:
    """Refuse an image of too many bytes before it is read.

    Raises:
        RejectedError: it is larger.

    """
    if size > max_bytes:
        raise RejectedError("too_large", f"{size} bytes, more than ingest.limits.max_bytes = {max_bytes}")


def printable(name: str) -> str:
    """Return a name as valid Unicode: bytes of a file name that are no UTF-8 become hexadecimal escapes."""
    return str(PurePosixPath(os.fsencode(name).decode("utf-8", "backslashreplace"))).lstrip("/")


def _listed(reader: ArchiveReader, file: str, prefix: str, positions: tuple[int, ...]) -> Members:
    """List an archive's files; `prefix` is its own name, `positions` say where in `file` it lies."""
    kind = kind_of(reader.stream(file, positions))
    if kind in NAMES_ONLY:
        names = NAMES_ONLY[kind](reader.stream(file, positions))
        detail = f"within a {kind} archive, which is not read: unpack it"
        return Members([], [Reject(printable(f"{prefix}/{name}"), "unsupported_format", detail) for name in names], [])
    named, encoding = reader.archive(file, positions).names()
    members = Members([], [], [])
    if encoding:
        members.notes.append(f"an archive does not say how its names are encoded: they are read as {encoding}")
    for position, name in named.items():
        whole, place = printable(f"{prefix}/{name}"), (*positions, position)
        if not is_archive_name(name):
            members.files.append(RawFile(whole, Locator(file, place[0], place[1:])))
            continue
        inner = _nested(reader, file, whole, place)
        members.files.extend(inner.files)
        members.rejects.extend(inner.rejects)
        members.notes.extend(inner.notes)
    return members


def _nested(reader: ArchiveReader, file: str, name: str, positions: tuple[int, ...]) -> Members:
    """List an archive within an archive; what cannot be listed is one reject that says what is lost."""
    try:
        if kind_of(reader.stream(file, positions)) is None:
            return Members([RawFile(name, Locator(file, positions[0], positions[1:]))], [], [])
        if len(positions) > MAX_DEPTH:
            detail = f"an archive within {MAX_DEPTH} others, which is not read: unpack it"
            return Members([], [Reject(name, "unsupported_format", detail)], [])
        return _listed(reader, file, name, positions)
    except DAMAGED:
        try:
            lost = _local_headers(reader.stream(file, positions))
        except DAMAGED:
            lost = "how many files it holds cannot be told"
        return Members([], [Reject(name, "undecodable", f"an archive that cannot be listed: {lost}")], [])


def _unpacked(stream: IO[bytes], closing: ExitStack) -> IO[bytes]:
    stream.seek(0)
    head = stream.read(6)
    stream.seek(0)
    for magic, unpack in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if head.startswith(magic):
            spooled = closing.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            with unpack(stream, "rb") as source:
                _copy(source, spooled)
            return spooled
    return stream


def _names_in_7z(stream: IO[bytes]) -> list[str]:
    stream.seek(0)
    with py7zr.SevenZipFile(stream) as archive:
        return [info.filename for info in archive.list() if not info.is_directory]


def _names_in_rar(stream: IO[bytes]) -> list[str]:
    stream.seek(0)
    with rarfile.RarFile(stream) as archive:
        return [info.filename for info in archive.infolist() if not info.is_dir()]


OPENERS: dict[str, Callable[[IO[bytes], ExitStack], _Archive]] = {"zip": _Zip, "tar": _Tar}
NAMES_ONLY: dict[str | None, Callable[[IO[bytes]], list[str]]] = {"7z": _names_in_7z, "rar": _names_in_rar}


def _stated_name(info: zipfile.ZipInfo) -> str | None:
    """Return a zip member's name where its encoding is known: flagged as UTF-8, or in the extra field of Info-ZIP."""
    if info.flag_bits & UTF8_FLAG:
        return info.orig_filename
    extra = info.extra
    while len(extra) >= 4:  # noqa: PLR2004 - id and length of a field
        field, length = struct.unpack("<HH", extra[:4])
        content, extra = extra[4 : 4 + length], extra[4 + length :]
        if field == UNICODE_PATH and len(content) > 5 and content[0] == 1:  # noqa: PLR2004 - version and CRC
            current = int.from_bytes(content[1:5], "little") == zlib.crc32(info.orig_filename.encode("cp437"))
            return content[5:].decode("utf-8", "backslashreplace") if current else None
    return None


def _is_latin(text: bytes, encoding: str) -> bool:
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in text.decode(encoding, "replace"))


def _local_headers(stream: IO[bytes]) -> str:
    """Count what a zip holds by the headers before its members, which a lost directory leaves in place."""
    stream.seek(0)
    count, tail = 0, b""
    while block := stream.read(1 << 20):
        count += (tail + block).count(LOCAL_HEADER)
        tail = (tail + block)[-len(LOCAL_HEADER) + 1 :]
    return f"about {count} files are lost with it" if count else "how many files it holds cannot be told"


def _copy(source: IO[bytes] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile, target: IO[bytes]) -> None:
    """Copy what is unpacked, up to MAX_SPOOLED_BYTES."""
    while block := source.read(1 << 20):
        target.write(block)
        if target.tell() > MAX_SPOOLED_BYTES:
            raise tarfile.ReadError(f"more than {MAX_SPOOLED_BYTES} bytes when unpacked")
    target.seek(0)
