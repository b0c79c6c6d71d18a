"""Writes tables and archives as other people's programs do, down to formats that nothing here writes."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import py7zr

Grid = Sequence[Sequence[str | float | None]]

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def xlsx(*sheets: Grid) -> bytes:
    """Write a workbook of inline texts and numbers."""
    buffer = io.BytesIO()
    names = range(1, len(sheets) + 1)
    with zipfile.ZipFile(buffer, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r" Type="{_RELATIONS}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        listed = "".join(f'<sheet name="s{i}" sheetId="{i}" r:id="r{i}"/>' for i in names)
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_SHEET}" xmlns:r="{_RELATIONS}"><sheets>{listed}</sheets></workbook>'
        )
        related = "".join(
            f'<Relationship Id="r{i}" Type="{_RELATIONS}/worksheet" Target="worksheets/s{i}.xml"/>' for i in names
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{related}</Relationships>'
        )
        for i, grid in zip(names, sheets, strict=True):
            rows = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in grid)
            book.writestr(
                f"xl/worksheets/s{i}.xml", f'<worksheet xmlns="{_SHEET}"><sheetData>{rows}</sheetData></worksheet>'
            )
    return buffer.getvalue()


def _cell(value: str | float | None) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, float):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def zip_of(members: Mapping[str, bytes], *, encoding: str | None = None) -> bytes:
    """Write a zip; with an encoding its names are stored in that, and nothing says so."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            # What zipfile writes without a flag is cp437: so the bytes pass unchanged.
            info = _Unflagged(name.encode(encoding).decode("cp437")) if encoding else zipfile.ZipInfo(name)
            archive.writestr(info, content)
    return buffer.getvalue()


class _Unflagged(zipfile.ZipInfo):
    """A zip's entry that does not say how its name is encoded."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own hook
        return self.filename.encode("cp437"), 0


def tar_of(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    """Write a tar; `mode` as `tarfile.open` has it (`w:gz`)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def seven_zip_of(members: Mapping[str, bytes], folder: Path) -> bytes:
    """Write a 7z, by way of a file in `folder`."""
    path = folder / "made.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(content, name)
    content = path.read_bytes()
    path.unlink()
    return content


def rar_of(members: Mapping[str, bytes]) -> bytes:
    """Write a RAR 5 of stored files, as the format's technical note has it."""
    blocks = [_block(1, 0, b"\0")]
    for name, content in members.items():
        raw = name.encode()
        body = b"\x04" + _vint(len(content)) + b"\x20" + struct.pack("<I", zlib.crc32(content)) + b"\0\x01"
        blocks.append(_block(2, 2, body + _vint(len(raw)) + raw, _vint(len(content))) + content)
    return b"Rar!\x1a\x07\x01\0" + b"".join(blocks) + _block(5, 0, b"\0")


def _block(kind: int, flags: int, body: bytes, data_size: bytes = b"") -> bytes:
    header = bytes([kind, flags]) + data_size + body
    sized = _vint(len(header)) + header
    return struct.pack("<I", zlib.crc32(sized)) + sized


def _vint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
