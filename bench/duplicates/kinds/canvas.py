"""What the kinds of copies share: encoding, resizing, cutting, and drawing with Pillow's own font."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Rgb = NDArray[np.uint8]  # (height, width, 3)
Rng = np.random.Generator
Colour = tuple[int, int, int]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
WORDS = ("fig", "before", "after", "patient", "case", "lesion", "clinic", "sample", "photo", "dermatology", "follow-up")


def jpeg(rgb: Rgb, quality: int, *, subsampling: int = -1, exif: Image.Exif | None = None) -> bytes:
    """Encode as JPEG; subsampling as Pillow counts it (0: none, 2: chroma halved both ways, -1: as it likes)."""
    buffer = io.BytesIO()
    metadata = {} if exif is None else {"exif": exif}
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling, **metadata)
    return buffer.getvalue()


def png(image: Rgb | Image.Image) -> bytes:
    """Encode as PNG, without loss."""
    buffer = io.BytesIO()
    opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
    opened.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def resized(rgb: Rgb, width: int, height: int) -> Rgb:
    """Resize to this many pixels, as good programs do: averaging down, cubic up."""
    size = (max(8, width), max(8, height))
    shrinks = size[0] < rgb.shape[1]
    found: Rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return found


def scaled(rgb: Rgb, factor: float) -> Rgb:
    """Resize both sides by a factor."""
    return resized(rgb, round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))


def to_longer_side(rgb: Rgb, pixels: int) -> Rgb:
    """Resize so that the longer side has this many pixels."""
    return scaled(rgb, pixels / max(rgb.shape[:2]))


def cut(rgb: Rgb, rng: Rng, shares: tuple[float, float]) -> Rgb:
    """Cut a window out at a random place; of each side, a share drawn from the range."""
    height, width = (max(16, round(side * rng.uniform(*shares))) for side in rgb.shape[:2])
    y, x = (int(rng.integers(0, full - kept + 1)) for full, kept in zip(rgb.shape, (height, width), strict=False))
    return np.ascontiguousarray(rgb[y : y + height, x : x + width])


def mixed(rgb: Rgb, layer: Rgb, alpha: float | NDArray[np.floating]) -> Rgb:
    """Lay one image over another of the same size; alpha 0 to 1, a number or (height, width, 1)."""
    return as_bytes(rgb * (1 - np.asarray(alpha)) + layer * np.asarray(alpha))


def as_bytes(image: NDArray[Any]) -> Rgb:
    """Round and clip to uint8."""
    rounded: Rgb = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return rounded


def canvas(width: int, height: int, colour: Colour) -> Rgb:
    """Return an image of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def paste(rgb: Rgb, patch: Rgb, x: int, y: int) -> None:
    """Put a patch into an image, in place; what lies outside is cut off."""
    height, width = min(patch.shape[0], rgb.shape[0] - y), min(patch.shape[1], rgb.shape[1] - x)
    rgb[y : y + height, x : x + width] = patch[:height, :width]


def write(rgb: Rgb, text: str, place: tuple[float, float], *, size: float, colour: Colour) -> Rgb:
    """Write text in the font that Pillow carries; place is its upper left corner, size its height in pixels."""
    image = Image.fromarray(rgb)
    ImageDraw.Draw(image).text(place, text, fill=colour, font=font(size))
    return np.array(image)


def font(size: float) -> ImageFont.FreeTypeFont:
    """Load the font that Pillow carries, at least 6 pixels high."""
    found = ImageFont.load_default(max(6.0, size))
    assert isinstance(found, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow falls back to a bitmap without FreeType
    return found


def text_width(text: str, size: float) -> float:
    """Measure a text in pixels."""
    return float(font(size).getlength(text))


def some_colour(rng: Rng, low: int = 0, high: int = 256) -> Colour:
    """Draw a colour, channel by channel."""
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def some_text(rng: Rng, words: int) -> str:
    """Draw a caption of some words and a number."""
    return " ".join([*(str(word) for word in rng.choice(WORDS, words)), str(rng.integers(1, 1000))])


def chance(rng: Rng, probability: float) -> bool:
    """Toss a coin."""
    return bool(rng.random() < probability)
