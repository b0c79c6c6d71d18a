"""Turns the bytes received into the bytes stored: upright, 8 bits a channel, sRGB, opaque, one frame, no metadata.

Deep pixels are scaled by the bits that are used, transparency by its maximum, and of several frames the first that
shows anything is taken, so that no image collapses to one colour; one that is of one colour all the same is
rejected.

Bytes that are all that already are kept, but for metadata (`formats.STRIPPERS`). Whatever must be decoded and encoded
again is stored as PNG: lossless, so that normalising adds no artefacts of its own that a network could learn, and a
re-wrapped copy still has the same pixels. It costs space, on few images.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageSequence

from pipeline.stages.ingest.formats import STRIPPERS, sniff
from pipeline.stages.ingest.rows import RejectedError
from pipeline.stages.ingest.tables import StoredAs

Image.MAX_IMAGE_PIXELS = None  # `max_pixels` takes the place of Pillow's fixed limit

EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
PNG_LEVEL = 4  # of zlib: within some percent of the smallest file, in a third of the time

DEEP = {"I;16", "I;16L", "I;16B", "I;16N"}
TRANSPARENT = {"RGBA", "LA", "PA", "La", "RGBa"}
READABLE = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "RGBX"} | DEEP | TRANSPARENT

DEPTHS = (8, 10, 12, 14, 16)  # bits that scanners and cameras use of 16
LOOKED_AT_FRAMES = 100

BITS_PER_SAMPLE = 258  # TIFF's tag
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
NEARLY_SRGB = 2  # levels of 255: a profile that moves no colour by more is sRGB by another name

# What Pillow raises on damaged files. MemoryError is not among them: it says something of the machine, not of the file.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Normalised:
    """An image as it is stored; width and height are in pixels, upright."""

    content: bytes
    pixel_sha256: str
    extension: str
    stored_as: StoredAs
    width: int
    height: int


def normalise(content: bytes, *, max_pixels: int) -> Normalised:
    """Check an image and bring it to its stored form.

    Args:
        content: the bytes received.
        max_pixels: width times height above which an image is rejected, by its header, before a pixel is decoded.

    Raises:
        RejectedError: with the reason.

    """
    kind = sniff(content)
    stripped = STRIPPERS[kind](content) if kind in STRIPPERS else None
    with _rejecting(), Image.open(io.BytesIO(content), formats=[kind]) as image:
        if image.width * image.height > max_pixels:
            detail = f"{image.width} x {image.height} pixels, more than ingest.limits.max_pixels = {max_pixels}"
            raise RejectedError("too_large", detail)
        if image.mode not in READABLE:
            raise RejectedError("unsupported_format", f"{kind} with pixels of type {image.mode}")
        image.load()  # before the orientation: to look for that, Pillow loads a PNG, and errors would pass for no Exif
        if getattr(image, "n_frames", 1) > 1:
            stripped = None if _seek_content(image) else stripped
        turn, profile = TURNS.get(_orientation(image)), image.info.get("icc_profile")
        conversion = _to_srgb(profile, _profiled_mode(image)) if profile else None
        is_plain = (
            image.mode in {"1", "L", "P", "RGB"}
            and not image.has_transparency_data
            and not _is_deep(image, kind, content)
        )
        if stripped is not None and is_plain and turn is None and conversion is None:
            _expect_content(image)
            stored_as: StoredAs = "received" if stripped == content else "stripped"
            return Normalised(stripped, pixel_digest(image), EXTENSIONS[kind], stored_as, image.width, image.height)
        deep = _deep_colours(content) if image.mode not in DEEP and _is_deep(image, kind, content) else image
        upright = _opaque_srgb(deep, conversion)
        _expect_content(upright)
        if turn is not None and kind != "TIFF":  # Pillow and OpenCV turn TIFFs themselves
            upright = upright.transpose(turn)
    return Normalised(_encode(upright), pixel_digest(upright), "png", "reencoded", upright.width, upright.height)


def pixel_digest(image: Image.Image) -> str:
    """Hash what an image shows, however it is stored: sha256 of height, width and the bytes of its RGB, in hex.

    It is taken here, of the decode that checks the file: hashes and scores need no full decode.
    """
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    digest = hashlib.sha256(image.height.to_bytes(4, "big") + image.width.to_bytes(4, "big"))
    digest.update(rgb.tobytes())
    return digest.hexdigest()


@contextmanager
def _rejecting() -> Iterator[None]:
    """Turn what Pillow raises into a rejection, and ignore its warnings: what it reads in spite of them is welcome."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PILLOW_ERRORS as error:
            detail = re.sub(r"<[^>]*>", "the image", f"{type(error).__name__}: {error}")  # no addresses of objects
            raise RejectedError("truncated" if "truncated" in detail else "undecodable", detail) from error


def _orientation(image: Image.Image) -> int:
    """Read the orientation from Exif or XMP; 1 (upright) where damaged metadata says nothing."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except PILLOW_ERRORS:
        return 1


def _seek_content(image: Image.Image) -> bool:
    """Go to the first of several frames that has more than one colour; say whether that is not the very first."""
    for position, frame in enumerate(ImageSequence.Iterator(image)):
        if position >= LOOKED_AT_FRAMES:
            break
        if not _is_blank(frame.convert("RGBA")):
            return position > 0
    image.seek(0)
    return False


def _is_blank(image: Image.Image) -> bool:
    """Tell whether all pixels have one colour, so that the image shows nothing."""
    extrema = image.getextrema()
    return all(low == high for low, high in ([extrema] if isinstance(extrema[0], int | float) else extrema))


def _expect_content(image: Image.Image) -> None:
    if _is_blank(image):
        raise RejectedError("blank", "all pixels have one colour")


def _is_deep(image: Image.Image, kind: str, content: bytes) -> bool:
    """Whether it is a PNG or TIFF of 16 bits a channel: Pillow opens coloured ones as if they had 8."""
    if kind == "TIFF":
        return bool(max(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (8,))) == 16)  # noqa: PLR2004
    return kind == "PNG" and content[24] == 16  # noqa: PLR2004 - the depth's place in IHDR


def _deep_colours(content: bytes) -> Image.Image:
    """Decode 16-bit colours, which Pillow cuts to the high byte; mode RGB or RGBA, scaled by the bits that are used."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if decoded is None:
        raise RejectedError("undecodable", "16-bit colours that cannot be read")
    array = np.asarray(decoded)
    array = np.stack([array] * 3, axis=-1) if array.ndim == 2 else array  # noqa: PLR2004
    colours = _to_8_bits(array[..., 2::-1])
    if array.shape[2] < 4:  # noqa: PLR2004
        return Image.fromarray(colours)
    return Image.fromarray(np.dstack([colours, _to_8_bits(array[..., 3])]))


def _to_8_bits(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Keep the eight highest bits of the depth that is used: values of 8 and 12 bits come in 16 too."""
    used = int(pixels.max(initial=0)).bit_length()
    depth = next(depth for depth in DEPTHS if used <= depth)
    return (pixels >> (depth - 8)).astype(np.uint8)


def _profiled_mode(image: Image.Image) -> str:
    """Say in which mode an image's colours are when its profile is applied."""
    if image.mode == "CMYK":
        return "CMYK"
    return "L" if image.mode in {"1", "L", "LA", "La"} | DEEP else "RGB"


def _opaque_srgb(image: Image.Image, conversion: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Scale to 8 bits, apply the profile, lay transparency on white; mode L or RGB."""
    alpha = None
    if image.mode in DEEP:
        image = Image.fromarray(_to_8_bits(np.asarray(image)))  # Pillow's own conversion of 16-bit grey clips
    elif image.has_transparency_data:
        alpha = _scaled_alpha(image.convert("RGBA").getchannel("A"))
        image = image.convert("RGBA").convert("RGB" if _profiled_mode(image) == "RGB" else "L")
    if conversion:
        image = conversion.apply(image.convert(_profiled_mode(image)))
    elif image.mode not in {"L", "RGB"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _scaled_alpha(alpha: Image.Image) -> Image.Image:
    """Scale transparency so that the most opaque pixel is opaque: where all are alike it hides nothing."""
    _, most = alpha.getextrema()
    return alpha.point(lambda level: round(level * 255 / most)) if most else Image.new("L", alpha.size, 255)


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the conversion from a profile to sRGB; None where it changes nothing, is damaged, or is of another mode."""
    try:
        conversion = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode == "CMYK":
        return conversion
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    moved = np.abs(np.asarray(conversion.apply(probe)).astype(int) - np.asarray(probe.convert("RGB")))
    return conversion if moved.max() > NEARLY_SRGB else None


def _encode(image: Image.Image) -> bytes:
    image.info = {}  # Pillow would write profiles and transparency from there
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
