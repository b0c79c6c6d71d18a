"""The near duplicates of SelfClean's published evaluation (Gröger et al. 2024, arXiv:2305.17048), from its description.

Strategy AUG is `aug`, strategy ARTE is `artefacts`: there each artefact is added with probability .5. In the design
with equal numbers of every kind the artefacts are kinds of their own. Two things differ from the authors' code: their
university's logo is one drawn here, and the other images of a mosaic come from outside the collection, since one from
within makes a true pair that nobody counts.
"""

from __future__ import annotations

import cv2
import numpy as np

from bench.duplicates.kinds.canvas import (
    BLACK,
    WHITE,
    Rgb,
    Rng,
    as_bytes,
    canvas,
    chance,
    jpeg,
    mixed,
    paste,
    resized,
    scaled,
    text_width,
    write,
)

SIDE = 512  # pixels of the shorter side before anything else
CROP_SIDE = 224
QUALITY = 75  # Pillow's default, which the authors leave
MARK = "CONFIDENTIAL"


def aug(rgb: Rgb, rng: Rng) -> bytes:
    """Turn by 0 to 180 degrees (p .5), cut 50 to 90% of the area, pad, blur, flip (p .5 each); 224 pixels a side."""
    image = _shorter_side(rgb)
    if chance(rng, 0.5):
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(0, 180), 1)
        image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_NEAREST)
    image = _resized_crop(image, rng)
    if chance(rng, 0.5):
        image = cv2.copyMakeBorder(image, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=BLACK)
    if chance(rng, 0.5):
        image = cv2.GaussianBlur(image, (5, 5), rng.uniform(0.1, 2))
    for axis in (1, 0):
        if chance(rng, 0.5):
            image = np.flip(image, axis)
    return jpeg(np.ascontiguousarray(image), QUALITY)


def artefacts(rgb: Rgb, rng: Rng, other: Rgb) -> bytes:
    """Add a watermark, a colour bar, a mosaic: each with probability .5."""
    image = _shorter_side(rgb)
    image = _watermark(image, rng) if chance(rng, 0.5) else image
    image = _colour_bar(image) if chance(rng, 0.5) else image
    image = _mosaic(image, other) if chance(rng, 0.5) else image
    return jpeg(image, QUALITY)


def watermark(rgb: Rgb, rng: Rng) -> bytes:
    """Add the watermark: a logo, and a word over 80% of the width, at random places."""
    return jpeg(_watermark(_shorter_side(rgb), rng), QUALITY)


def colour_bar(rgb: Rgb, rng: Rng) -> bytes:  # noqa: ARG001 - every kind takes a generator
    """Add the colour bar at the right."""
    return jpeg(_colour_bar(_shorter_side(rgb)), QUALITY)


def mosaic(rgb: Rgb, rng: Rng, other: Rgb) -> bytes:  # noqa: ARG001
    """Lay another image, 128 pixels a side, below and to the right."""
    return jpeg(_mosaic(_shorter_side(rgb), other), QUALITY)


def _shorter_side(rgb: Rgb) -> Rgb:
    return scaled(rgb, SIDE / min(rgb.shape[:2]))


def _resized_crop(image: Rgb, rng: Rng) -> Rgb:
    """Cut as torchvision's RandomResizedCrop with scale .5 to .9 and aspect 3:4 to 4:3, else the centre."""
    height, width = image.shape[:2]
    for _ in range(10):
        area = height * width * rng.uniform(0.5, 0.9)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
        if w <= width and h <= height:
            y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            return resized(image[y : y + h, x : x + w], CROP_SIDE, CROP_SIDE)
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return resized(image[y : y + side, x : x + side], CROP_SIDE, CROP_SIDE)


def _watermark(image: Rgb, rng: Rng) -> Rgb:
    height, width = image.shape[:2]
    side = min(height, width) // 4
    y, x = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    logo = np.zeros((side, side, 1), np.float32)
    centre, radius = (side // 2, side // 2), side * 2 // 5
    cv2.circle(logo, centre, radius, 1.0, max(2, side // 16), cv2.LINE_AA)
    cv2.line(logo, (side // 2, side // 4), (side // 2, side * 3 // 4), 1.0, max(2, side // 12), cv2.LINE_AA)
    cv2.line(logo, (side // 4, side // 2), (side * 3 // 4, side // 2), 1.0, max(2, side // 12), cv2.LINE_AA)
    marked = image.copy()
    window = marked[y : y + side, x : x + side]
    marked[y : y + side, x : x + side] = mixed(window, canvas(side, side, WHITE), logo.reshape(side, side, 1))
    size = 100 * 0.8 * width / text_width(MARK, 100)
    place = (rng.uniform(0, max(1, width - text_width(MARK, size))), rng.uniform(0, max(1, height - 1.3 * size)))
    return write(marked, MARK, place, size=size, colour=WHITE)


def _colour_bar(image: Rgb) -> Rgb:
    height = image.shape[0]
    width = height // 6
    bar = canvas(width, height, WHITE)
    levels = np.linspace(255, 0, height * 9 // 10)[:, None]
    colours = cv2.applyColorMap(as_bytes(np.repeat(levels, width // 3, axis=1)), cv2.COLORMAP_JET)
    paste(bar, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), width // 6, height // 20)
    for i in range(11):
        y = height // 20 + height * 9 // 10 * i / 10
        bar = write(bar, f"{1 - i / 10:.1f}", (width * 0.56, y - height / 50), size=height / 28, colour=BLACK)
    return np.hstack([image, bar])


def _mosaic(image: Rgb, other: Rgb) -> Rgb:
    tile, gap = resized(other, SIDE // 4, SIDE // 4), 10
    height, width = image.shape[:2]
    whole = canvas(width + gap + SIDE // 4, height + gap + SIDE // 4, BLACK)
    paste(whole, image, 0, 0)
    paste(whole, tile, 0, height + gap)
    paste(whole, tile, width + gap, 0)
    return whole
