"""Tells image formats by content, and takes metadata out of files without touching their pixels.

Positions, serial numbers, names and thumbnails of what was cropped away travel in metadata. Decoding and encoding again
would remove them at the price of the pixels, so the containers are rewritten instead: only what a decoder needs is
copied. On the way the structure is walked to its end marker: a truncated file is found whatever a decoder makes of it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from pipeline.stages.ingest.rows import RejectedError

SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM.{12}[\x0c-\x7c]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II\*\0|MM\0\*"),
}
# Images that are known but not read: said so, because `not_an_image` would send people looking for a broken download.
UNSUPPORTED = {
    "HEIC, AVIF or another ISO media file": re.compile(rb"....ftyp", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "DICOM": re.compile(rb".{128}DICM", re.DOTALL),
    "Photoshop": re.compile(rb"8BPS"),
    "ZIP, within another or cut off": re.compile(rb"PK\x03\x04"),
    "PDF": re.compile(rb"%PDF"),
    "SVG": re.compile(rb"(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<svg", re.DOTALL),
}

SOS, EOI = 0xDA, 0xD9
JFIF_SIZE = 18  # of an APP0 segment without a thumbnail
MARKER = re.compile(rb"\xff[^\x00\xff]")
SCAN_END = re.compile(
    rb"\xff[^\x00\xd0-\xd7\xff]"
)  # in a scan, 0xff00 is a data byte and 0xffd0 to 0xffd7 are restarts
PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"sRGB"}


def sniff(content: bytes) -> str:
    """Name the format of an image, by its first bytes.

    Raises:
        RejectedError: nothing, no image, or one of a format that is not read.

    """
    if not content:
        raise RejectedError("empty_file", "0 bytes")
    for name, signature in SIGNATURES.items():
        if signature.match(content):
            return name
    for name, signature in UNSUPPORTED.items():
        if signature.match(content, 0, 4096):
            raise RejectedError("unsupported_format", name)
    raise RejectedError("not_an_image", f"begins with {content[:16]!r}")


def strip_jpeg(content: bytes) -> bytes:
    """Copy a JPEG without Exif, XMP, IPTC, profiles, comments, thumbnails, and whatever follows its end.

    The segments JFIF and Adobe stay: they say how colours are coded.

    Raises:
        RejectedError: there is no end marker.

    """
    parts, position, pattern = [content[:2]], 2, MARKER
    while marker := pattern.search(content, position):
        code, start = content[marker.end() - 1], marker.end()
        if pattern is SCAN_END:
            parts.append(content[position : marker.start()])
        if code == EOI:
            return b"".join([*parts, b"\xff\xd9"])
        pattern, position = MARKER, start
        if code == 0x01 or 0xD0 <= code <= 0xD8:  # noqa: PLR2004 - markers without a segment
            continue
        position = start + max(2, int.from_bytes(content[start : start + 2]))
        parts.append(_kept_segment(code, content[start - 2 : position]))
        if code == SOS:
            pattern = SCAN_END
    raise RejectedError("truncated", "the JPEG has no end marker")


def strip_png(content: bytes) -> bytes:
    """Copy a PNG without texts, times, Exif, profiles and further frames.

    Transparency goes too: strip only what is opaque. Checksums are compared, since Pillow does not do so for pixels.

    Raises:
        RejectedError: a checksum is wrong, or there is no end chunk.

    """
    parts, position = [content[:8]], 8
    while position < len(content):
        kind = content[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(content[position : position + 4])
        if end > len(content):
            break
        if kind in PNG_CHUNKS:
            if zlib.crc32(content[position + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
                raise RejectedError("undecodable", f"the checksum of a chunk {kind.decode()} is wrong")
            parts.append(content[position:end])
        if kind == b"IEND":
            return b"".join(parts)
        position = end
    raise RejectedError("truncated", "the PNG has no end chunk")


def strip_webp(content: bytes) -> bytes | None:
    """Copy a WebP that is one still image and nothing else; None for the extended format, which may hold anything.

    Raises:
        RejectedError: the file is shorter than it says.

    """
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        raise RejectedError("truncated", f"the WebP says {end} bytes and has {len(content)}")
    size = int.from_bytes(content[16:20], "little")
    simple = content[12:16] in {b"VP8 ", b"VP8L"} and 20 + size + size % 2 == end
    return content[:end] if simple else None


STRIPPERS: dict[str, Callable[[bytes], bytes | None]] = {"JPEG": strip_jpeg, "PNG": strip_png, "WEBP": strip_webp}


def _kept_segment(code: int, segment: bytes) -> bytes:
    """Return what is kept of a JPEG segment (marker, length, payload)."""
    if code == 0xE0 and segment[4:9] == b"JFIF\0":  # noqa: PLR2004 - APP0
        whole = len(segment) >= JFIF_SIZE
        return b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0" if whole else segment  # no columns, no rows of thumbnail
    if code == 0xEE and segment[4:9] == b"Adobe":  # noqa: PLR2004 - APP14
        return segment
    is_metadata = 0xE0 <= code <= 0xEF or code == 0xFE  # noqa: PLR2004 - APP0 to APP15, comment
    return b"" if is_metadata else segment
