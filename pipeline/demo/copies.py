"""What happens to a photograph on its way through the web: the kinds of copies that the demo plants."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from pipeline.core.shards import decode
from pipeline.demo.fields import chance
from pipeline.demo.lesions import Rng
from pipeline.demo.photograph import RGB


def jpeg(image: RGB, quality: int) -> bytes:
    """Encode as JPEG without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(image: RGB) -> bytes:
    """Encode as PNG without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def reencode(rng: Rng, image: RGB) -> RGB:
    """Lose detail to a stronger compression."""
    return decode(jpeg(image, int(rng.integers(35, 75))))


def resize(rng: Rng, image: RGB) -> RGB:
    """Scale down to a half, or up to one and a half."""
    scale = rng.choice([rng.uniform(0.5, 0.85), rng.uniform(1.15, 1.5)])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    scaled: RGB = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return scaled


def crop(rng: Rng, image: RGB) -> RGB:
    """Keep 65 to 90% of each side."""
    height, width = (round(side * rng.uniform(0.65, 0.9)) for side in image.shape[:2])
    y, x = (int(rng.integers(0, full - kept + 1)) for full, kept in zip(image.shape, (height, width), strict=False))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def rotate(rng: Rng, image: RGB) -> RGB:
    """Turn by a right angle, or by any angle with the corners filled or cut away."""
    kind = rng.choice(["right_angle", "filled", "cut"])
    if kind == "right_angle":
        return np.ascontiguousarray(np.rot90(image, int(rng.integers(1, 4))))
    height, width = image.shape[:2]
    degrees = float(rng.uniform(5, 355))
    radians = np.deg2rad(degrees)
    c, s = abs(np.cos(radians)), abs(np.sin(radians))
    if kind == "filled":
        size = (round(width * c + height * s), round(width * s + height * c))
    else:  # the upright rectangle of the same shape that fits inside
        share = 1 / max(c + s * height / width, c + s * width / height)
        size = (round(width * share), round(height * share))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    fill = (255, 255, 255) if chance(rng, 0.5) else (0, 0, 0)
    turned: RGB = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderValue=fill)
    return turned


def mirror(rng: Rng, image: RGB) -> RGB:
    """Flip left to right, or now and then upside down."""
    return np.ascontiguousarray(image[:, ::-1] if chance(rng, 0.75) else image[::-1])


KINDS: dict[str, Callable[[Rng, RGB], RGB] | None] = {
    "copy_bytes": None,
    "copy_reencode": reencode,
    "copy_resize": resize,
    "copy_crop": crop,
    "copy_rotate": rotate,
    "copy_mirror": mirror,
}


def copy(rng: Rng, kind: str, original: bytes) -> bytes:
    """Make a copy of an encoded photograph: the same bytes, or a changed image encoded anew."""
    change = KINDS[kind]
    return original if change is None else jpeg(change(rng, decode(original)), int(rng.integers(70, 96)))
