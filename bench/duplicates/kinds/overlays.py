"""Copies on which something was laid: labels, marks, hairs, rulers, bars."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from bench.duplicates.kinds.canvas import (
    BLACK,
    WHITE,
    Rgb,
    Rng,
    canvas,
    chance,
    font,
    mixed,
    resized,
    some_colour,
    some_text,
    text_width,
    write,
)


def label(rgb: Rgb, rng: Rng) -> Rgb:
    """Paste 1 to 3 text labels on boxes, each 5 to 12% of the height."""
    image = rgb.copy()
    height, width = rgb.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        size = height * rng.uniform(0.05, 0.12)
        text = some_text(rng, int(rng.integers(0, 3)))
        box = (round(min(width, text_width(text, size) + size)), round(1.5 * size))
        x, y = (int(rng.integers(0, max(1, full - part))) for full, part in zip((width, height), box, strict=True))
        image[y : y + box[1], x : x + box[0]] = some_colour(rng, 0, 256)
        dark = int(image[y, x].sum()) < 384  # noqa: PLR2004 - half of what three channels can have
        image = write(image, text, (x + size / 2, y + size / 5), size=size, colour=WHITE if dark else BLACK)
    return image


def tiled_watermark(rgb: Rgb, rng: Rng) -> Rgb:
    """Repeat a slanted word over the whole image, 25 to 50% opaque."""
    height, width = rgb.shape[:2]
    side = int(np.hypot(height, width))
    size = height * rng.uniform(0.06, 0.12)
    text = some_text(rng, 1)
    step_x, step_y = text_width(text, size) * 1.4, size * 3
    tile = Image.new("L", (side, side))
    draw = ImageDraw.Draw(tile)
    for row, y in enumerate(np.arange(0, side, step_y)):
        for x in np.arange(-step_x * (row % 2) / 2, side, step_x):
            draw.text((x, y), text, fill=255, font=font(size))
    slanted = np.array(tile.rotate(rng.uniform(15, 45)))
    top, left = (side - height) // 2, (side - width) // 2
    mask = slanted[top : top + height, left : left + width, None] / 255.0
    return mixed(rgb, canvas(width, height, WHITE if chance(rng, 0.7) else BLACK), mask * rng.uniform(0.25, 0.5))


def hairs(rgb: Rgb, rng: Rng) -> Rgb:
    """Draw 8 to 30 dark, bent hairs, .4 to 1.2% of the shorter side thick."""
    image, (height, width) = rgb.copy(), rgb.shape[:2]
    side = min(height, width)
    for _ in range(int(rng.integers(8, 31))):
        start = rng.uniform(0, 1, 2) * (width, height)
        angle, length = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.3, 1.0)
        bend = rng.uniform(-1.2, 1.2)
        steps = np.linspace(0, 1, 24)[:, None]
        direction = np.hstack([np.cos(angle + bend * steps), np.sin(angle + bend * steps)])
        points = start + steps * length * direction
        thickness = max(1, round(side * rng.uniform(0.004, 0.012)))
        shade = tuple(int(v) for v in np.array([60, 45, 35]) * rng.uniform(0.3, 1.2))
        cv2.polylines(image, [np.rint(points * 8).astype(np.int32)], False, shade, thickness, cv2.LINE_AA, shift=3)
    return image


def ruler(rgb: Rgb, rng: Rng) -> Rgb:
    """Lay a ruler with ticks and numbers along one edge, 10 to 20% of the shorter side deep."""
    quarters = int(rng.integers(4))
    image = np.ascontiguousarray(np.rot90(rgb, quarters))
    height, width = image.shape[:2]
    depth = round(min(height, width) * rng.uniform(0.1, 0.2))
    paper = tuple(int(v) for v in rng.integers(200, 256, 3))
    image[-depth:] = paper
    step = width / rng.uniform(25, 60)
    for i in range(int(width / step) + 1):
        x, tick = round(i * step), depth * (0.6 if i % 10 == 0 else 0.45 if i % 5 == 0 else 0.3)
        cv2.line(image, (x, height - depth), (x, round(height - depth + tick)), BLACK, max(1, round(step / 8)))
        if i % 10 == 0:
            image = write(image, str(i // 10), (x + 1, height - depth * 0.45), size=depth * 0.4, colour=BLACK)
    return np.ascontiguousarray(np.rot90(image, -quarters))


def censored(rgb: Rgb, rng: Rng) -> Rgb:
    """Hide 8 to 20% of the area: a black bar, or a block of large pixels."""
    image, (height, width) = rgb.copy(), rgb.shape[:2]
    share, aspect = rng.uniform(0.08, 0.2), np.exp(rng.uniform(-1, 1))
    h, w = min(height, round(np.sqrt(share * height * width / aspect))), 0
    w = min(width, round(share * height * width / h))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    window = image[y : y + h, x : x + w]
    blocks = cv2.resize(window, (max(2, w * 8 // width), max(2, h * 8 // height)), interpolation=cv2.INTER_AREA)
    pixelated = cv2.resize(blocks, (w, h), interpolation=cv2.INTER_NEAREST)
    image[y : y + h, x : x + w] = 0 if chance(rng, 0.5) else pixelated
    return image


def bubbles(rgb: Rgb, rng: Rng) -> Rgb:
    """Scatter 10 to 40 bright spots, as of gel under a dermatoscope: .5 to 2.5% of the shorter side, half opaque."""
    image, (height, width) = rgb.copy(), rgb.shape[:2]
    side = min(height, width)
    for _ in range(int(rng.integers(10, 41))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        radius = max(1, round(side * rng.uniform(0.005, 0.025)))
        cv2.circle(image, centre, radius, (235, 235, 240), 1 if chance(rng, 0.5) else -1, cv2.LINE_AA)
    return mixed(rgb, image, 0.6)


def logo(rgb: Rgb, rng: Rng) -> Rgb:
    """Put a website's name on a bar along the lower or upper edge, 8 to 15% of the height; five sites exist."""
    image, (height, width) = rgb.copy(), rgb.shape[:2]
    site = int(rng.integers(5))
    depth = round(height * rng.uniform(0.08, 0.15))
    stripe = canvas(width, depth, ((20, 60, 120), (180, 30, 40), (30, 30, 30), (0, 110, 90), (240, 240, 240))[site])
    name = ("derm-atlas.example", "skinpics.example", "SKIN DATABASE", "dr-derma.example", "(c) atlas 2019")[site]
    stripe = write(stripe, name, (depth / 2, depth * 0.15), size=depth * 0.6, colour=BLACK if site == 4 else WHITE)  # noqa: PLR2004 - the bright bar
    cv2.circle(stripe, (width - depth, depth // 2), max(2, depth // 3), (255, 200, 60), -1, cv2.LINE_AA)
    top = 0 if chance(rng, 0.3) else height - depth
    image[top : top + depth] = resized(stripe, width, depth)
    return image
