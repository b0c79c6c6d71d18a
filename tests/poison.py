"""Draws a folder of bad and odd files, each with what ingest has to make of it."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.drawn import lesion

IMAGE = "image"  # accepted; any other expectation is a reason of Rejects
CUTS = (0.02, 0.3, 0.6, 0.9, 0.99)
Expected = dict[str, tuple[bytes, str]]


def encoded(image: Image.Image | NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """Encode an image."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Build a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, data: bytes, *extra: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """Build a PNG whose header says what it likes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bad_files() -> Expected:
    """Draw files that are no images, or no whole ones."""
    rgb = lesion(0)
    whole = {
        "jpg": encoded(rgb, "JPEG"),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "png": encoded(rgb, "PNG"),
        "webp": encoded(rgb, "WEBP", lossless=True),
    }
    files: Expected = {
        f"cut at {share}.{suffix}": (content[: max(20, int(share * len(content)))], "truncated")
        for suffix, content in whole.items()
        for share in CUTS
    }
    jpeg, png, gif = whole["jpg"], whole["png"], encoded(Image.fromarray(rgb).quantize(8), "GIF")
    files |= {
        "cut within a scan, with an end.jpg": (whole["progressive.jpg"][:3000] + b"\xff\xd9", IMAGE),
        "never written.jpg": (jpeg[:2000] + bytes(len(jpeg) - 2000), "truncated"),
        "zeros.jpg": (bytes(5000), "not_an_image"),
        "empty.jpg": (b"", "empty_file"),
        "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
        "notes.csv": ("image,dx\nä,nv\n".encode(), "not_an_image"),
        "of a Mac.jpg": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", "not_an_image"),
        "text.png": (b"\x89PNG as they say", "not_an_image"),
        "only a signature.png": (png[:8], "truncated"),
        "only a signature.gif": (b"GIF89a", "undecodable"),
        "no frame.jpg": (b"\xff\xd8\xff\xe0\x00\x04xx\xff\xd9", "undecodable"),
        "apple.heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported_format"),
        "drawing.svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported_format"),
        "letter.pdf": (b"%PDF-1.7 ", "unsupported_format"),
        "scan.dcm": (bytes(128) + b"DICM", "unsupported_format"),
        "floats.tif": (encoded(np.ones((9, 9), np.float32), "TIFF"), "unsupported_format"),
        "bomb.png": (png_of(50_000, 50_000, b"\0" * 1000), "too_large"),
        "long bomb.png": (png_of(1, 2**31 - 1, b"\0"), "too_large"),
        "bomb.jpg": (_resized_header(jpeg, 65_500, 65_500), "too_large"),
        "bomb.gif": (b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + gif[10:], "too_large"),
        "bomb.bmp": (b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 2**30, 2**30, 1, 24, *[0] * 6), "too_large"),
        "no pixels.png": (png_of(0, 0, b""), "undecodable"),
        "fewer rows than it says.png": (png_of(8, 8, b"\0" + bytes(range(24))), IMAGE),  # Pillow does not mind
        "bomb of text.png": (
            png_of(1, 1, b"\0abc", chunk(b"zTXt", b"t\0\0" + zlib.compress(bytes(9**8)))),
            "undecodable",
        ),
        "wrong checksum.png": (png[:-20] + bytes([png[-20] ^ 1]) + png[-19:], "undecodable"),
        "directory in a circle.tif": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "undecodable"),
    }
    return files


def odd_files() -> Expected:
    """Draw images that are fine, each in its own way."""
    rgb, rng, seeds = lesion(1), np.random.default_rng(0), count(100)
    small = Image.fromarray(lesion(2, width=60, height=40))

    def fresh() -> Image.Image:
        """Draw another picture each time: what is alike is compared at length."""
        return Image.fromarray(lesion(next(seeds), width=100, height=75))

    noise = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    contents = {
        "plain.jpg": encoded(rgb, "JPEG"),
        "plain, its copy.jpg": encoded(rgb, "JPEG"),
        "plain, as.png": encoded(Image.open(io.BytesIO(encoded(rgb, "JPEG"))), "PNG"),
        "mirrored.jpg": encoded(np.ascontiguousarray(rgb[:, ::-1]), "JPEG"),
        "really a png.jpg": encoded(rgb, "PNG"),
        "really a jpeg.png": encoded(rgb, "JPEG"),
        "no extension": encoded(rgb, "JPEG", quality=60),
        "one pixel.png": encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
        "one pixel.jpg": encoded(Image.new("RGB", (1, 1), "red"), "JPEG"),
        "a row.png": encoded(noise[:1], "PNG"),
        "a column.png": encoded(noise[:, :1], "PNG"),
        "long.png": encoded(Image.fromarray(noise).resize((6000, 1)), "PNG"),
        "tall.jpg": encoded(Image.fromarray(noise).resize((2, 5000)), "JPEG"),
        "smaller than a keypoint.png": encoded(noise[:7, :9], "PNG"),
        "black.jpg": encoded(np.zeros_like(rgb), "JPEG"),
        "black too.png": encoded(np.zeros_like(rgb), "PNG"),
        "white.png": encoded(np.full_like(rgb, 255), "PNG"),
        "one colour.png": encoded(np.full_like(rgb, (200, 150, 120)), "PNG"),
        "noise.png": encoded(noise, "PNG"),
        "large.jpg": encoded(fresh().resize((2400, 1800)), "JPEG"),
        "16 bits.png": encoded(rng.integers(0, 65_536, (50, 60), dtype=np.uint16), "PNG"),
        "16 bits in colour.png": png_of(4, 4, (b"\0" + bytes(range(24))) * 4, depth=16),
        "one bit.png": encoded(fresh().convert("1"), "PNG"),
        "one bit.tif": encoded(fresh().convert("1"), "TIFF", compression="group4"),
        "grey.jpg": encoded(fresh().convert("L"), "JPEG"),
        "grey and alpha.png": encoded(fresh().convert("LA"), "PNG"),
        "alpha.webp": encoded(fresh().convert("RGBA"), "WEBP", lossless=True),
        "inks.jpg": encoded(fresh().convert("CMYK"), "JPEG"),
        "inks.tif": encoded(fresh().convert("CMYK"), "TIFF"),
        "palette.png": encoded(fresh().quantize(16), "PNG", transparency=3),
        "palette.gif": encoded(fresh().quantize(8), "GIF", transparency=1),
        "lab.tif": encoded(fresh().convert("YCbCr"), "TIFF"),
        "animation.gif": encoded(fresh().quantize(8), "GIF", save_all=True, append_images=[small.quantize(8)]),
        "animation.png": encoded(fresh(), "PNG", save_all=True, append_images=[fresh()]),
        "animation.webp": encoded(fresh(), "WEBP", save_all=True, append_images=[fresh()]),
        "pages.tif": encoded(fresh(), "TIFF", save_all=True, append_images=[small]),
        "stereo.jpg": encoded(fresh(), "MPO", save_all=True, append_images=[small]),
        "plain.bmp": encoded(fresh(), "BMP"),
        "garbage behind.jpg": encoded(rgb, "JPEG") + rng.bytes(3000),
        "a zip behind.jpg": encoded(rgb, "JPEG") + b"PK\x05\x06" + bytes(18),
        "garbage behind.png": encoded(fresh(), "PNG") + rng.bytes(3000),
        "restarts.jpg": encoded(fresh(), "JPEG", restart_marker_blocks=1),
        "broken exif.jpg": encoded(rgb, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12garbage"),
        "exif in a circle.jpg": encoded(rgb, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        "much exif.jpg": encoded(fresh(), "JPEG", exif=b"Exif\0\0MM\0*" + bytes(60_000)),
        "many comments.jpg": _commented(encoded(rgb, "JPEG"), 500),
        "broken profile.jpg": encoded(rgb, "JPEG", icc_profile=b"no profile"),
        "broken profile.png": encoded(fresh(), "PNG", icc_profile=bytes(200)),
        "profile of another space.jpg": encoded(fresh(), "JPEG", icc_profile=_lab_profile()),
    }
    contents |= {f"orientation {i}.jpg": encoded(fresh(), "JPEG", exif=_orientation(i)) for i in (*range(10), 65_535)}
    blank = {"one pixel.png", "one pixel.jpg", "black.jpg", "black too.png", "white.png", "one colour.png"}
    return {name: (content, "blank" if name in blank else IMAGE) for name, content in contents.items()}


def oddly_named() -> Expected:
    """Draw images under names that somebody will give them."""
    names = [
        "with space .jpg",
        "new\nline.jpg",
        "tab\t, comma; \"quote\" 'and' `more`.jpg",
        "ünïcödé 痣 🩺.jpg",
        "u\u0308 decomposed.jpg",
        "Case.jpg",
        "case.JPG",
        "CASE.JPG",
        "-rf.jpg",
        "a.b.c..jpg",
        "#hash%20$HOME.jpg",
        "colon:and|bar.jpg",
        "x" * 240 + ".jpg",
        "folder.jpg/inside.jpg",
        "archive.zip/inside a folder.jpg",
        os.fsdecode(b"no utf-8 \xe9\xff.jpg"),
    ]
    return {name: (encoded(lesion(10 + i, width=80, height=60), "JPEG"), IMAGE) for i, name in enumerate(names)}


def bad_members() -> dict[str, tuple[bytes, dict[str, str]]]:
    """Draw zips, each with what becomes of its members, or under the empty name of itself."""
    picture = encoded(lesion(3, width=80, height=60), "JPEG")
    damaged = bytearray(_zip({"a.jpg": picture}))
    damaged[100] ^= 255
    encrypted = bytearray(_zip({"a.jpg": picture}))
    for signature, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + flag] |= 1
    packed = {method: bytearray(_zip({"a.jpg": picture}, method)) for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)}
    for content in packed.values():
        content[60:90] = bytes(30)
    unknown = bytearray(_zip({"a.jpg": picture}))
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        unknown[unknown.index(signature) + method] = 77
    lost = bytearray(_zip({"a.jpg": picture}))
    lost[lost.index(b"PK\x01\x02")] ^= 255
    names = ["../../up.jpg", "/rooted.jpg", "C:\\windows\\x.jpg", "deep/" * 30 + "x.jpg", ".hidden/x.jpg"]
    return {
        "nothing.zip": (_zip({}), {}),
        "paths.zip": (
            _zip(dict.fromkeys(names, picture)),
            {
                "../../up.jpg": IMAGE,
                "rooted.jpg": IMAGE,
                "C:/windows/x.jpg": IMAGE,
                "deep/" * 30 + "x.jpg": IMAGE,
                ".hidden/x.jpg": IMAGE,
            },
        ),
        "zip of a zip.zip": (_zip({"inner.zip": _zip({"a.jpg": picture})}), {"inner.zip/a.jpg": IMAGE}),
        "damaged.zip": (bytes(damaged), {"a.jpg": "undecodable"}),
        "encrypted.zip": (bytes(encrypted), {"a.jpg": "undecodable"}),
        "bzip2.zip": (bytes(packed[zipfile.ZIP_BZIP2]), {"a.jpg": "undecodable"}),
        "lzma.zip": (bytes(packed[zipfile.ZIP_LZMA]), {"a.jpg": "undecodable"}),
        "unknown method.zip": (bytes(unknown), {"a.jpg": "undecodable"}),
        "cut.zip": (_zip({"a.jpg": picture})[:-30], {"": "undecodable"}),
        "damaged directory.zip": (bytes(lost), {"": "undecodable"}),
        "bomb.zip": (_zip({"a.jpg": bytes(20_000_000)}), {"a.jpg": "too_large"}),
    }


def draw(folder: Path) -> dict[str, str]:
    """Write them all below a folder, with what is no regular file too.

    Returns:
        by source id what is expected of it; what an operating system left is not among them.

    """
    expected: dict[str, str] = {}
    for name, (content, expectation) in (bad_files() | odd_files() | oddly_named()).items():
        _write(folder / name, content)
        expected[os.fsencode(name).decode("utf-8", "backslashreplace")] = expectation
    for name, (content, members) in bad_members().items():
        _write(folder / name, content)
        expected |= {f"{name}/{member}".rstrip("/"): expectation for member, expectation in members.items()}
    expected |= dict(_special_files(folder))
    return expected


def _special_files(folder: Path) -> Iterator[tuple[str, str]]:
    _write(folder / "a page.zip", b"<html></html>")
    yield "a page.zip", "not_an_image"
    for name, target in (("round", "."), ("broken.jpg", "nowhere.jpg"), ("itself.jpg", "itself.jpg")):
        (folder / name).symlink_to(target)
        yield name, "image_missing"
    (folder / "link.jpg").symlink_to("plain.jpg")
    yield "link.jpg", IMAGE
    for name in ("pipe.jpg", "pipe.zip"):
        os.mkfifo(folder / name)
        yield name, "image_missing"
    for name in ("locked.jpg", "locked.zip"):
        _write(folder / name, encoded(lesion(4, width=80, height=60), "JPEG"))
        (folder / name).chmod(0)
        yield name, IMAGE if os.access(folder / name, os.R_OK) else "image_missing"  # root reads everything
    (folder / "empty folder.jpg").mkdir()
    _write(folder / ".hidden.jpg", b"")
    yield ".hidden.jpg", "empty_file"
    _write(folder / "Thumbs.db", b"\xd0\xcf")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _resized_header(jpeg: bytes, width: int, height: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


def _commented(jpeg: bytes, count: int) -> bytes:
    return jpeg[:2] + b"\xff\xfe\x00\x06abcd" * count + jpeg[2:]


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
