"""The five kinds that are set aside: planted in a final run only (`--kinds all`). NOTHING MAY BE TUNED ON THEM.

No threshold, no parameter, no choice of method may follow from a figure or a image of these kinds, or they say
nothing any more of copies that nobody has thought of.
"""

from __future__ import annotations

import cv2
import numpy as np

from bench.duplicates.kinds.canvas import (
    WHITE,
    Rgb,
    Rng,
    as_bytes,
    canvas,
    chance,
    paste,
    resized,
    scaled,
    some_colour,
    some_text,
    write,
)
from bench.duplicates.kinds.views import turned


def story(rgb: Rgb, rng: Rng) -> Rgb:
    """Fill a tall frame with the image's own blurred enlargement, the image on it at 70 to 90%, with a caption."""
    width = rgb.shape[1]
    height = round(width * 16 / 9)
    zoom = height / rgb.shape[0]
    backdrop = scaled(rgb, zoom)
    left = (backdrop.shape[1] - width) // 2
    blurred = cv2.GaussianBlur(backdrop[:height, left : left + width], (0, 0), width * 0.04)
    frame = resized(as_bytes(blurred * 0.75), width, height)
    shown = scaled(rgb, rng.uniform(0.7, 0.9))
    paste(frame, shown, (width - shown.shape[1]) // 2, round((height - shown.shape[0]) * rng.uniform(0.3, 0.6)))
    size = width * 0.07
    return write(frame, some_text(rng, 2), (width * 0.1, height * rng.uniform(0.78, 0.88)), size=size, colour=WHITE)


def slide(rgb: Rgb, rng: Rng) -> Rgb:
    """Put it on a lecture's slide with a title and bullet points, 35 to 55% of the width."""
    width = round(rgb.shape[1] / rng.uniform(0.35, 0.55))
    height = max(round(width * 9 / 16), round(rgb.shape[0] * 1.45))
    paper = ((255, 255, 255), (238, 242, 250), (20, 40, 90))[int(rng.integers(3))]
    ink = WHITE if sum(paper) < 384 else (20, 20, 60)  # noqa: PLR2004 - half of what three channels can have
    sheet = canvas(width, height, paper)
    sheet[: round(height * 0.17)] = some_colour(rng, 0, 120)
    sheet = write(sheet, some_text(rng, 3), (width * 0.04, height * 0.03), size=height * 0.09, colour=WHITE)
    right = chance(rng, 0.5)
    for i in range(5):
        place = (width * (0.04 if right else 0.6), height * (0.25 + 0.13 * i))
        sheet = write(sheet, f"- {some_text(rng, 2)}", place, size=height * 0.05, colour=ink)
    left = round(width * 0.97 - rgb.shape[1]) if right else round(width * 0.03)
    paste(sheet, rgb, left, round(height * 0.2 + (height * 0.78 - rgb.shape[0]) / 2))
    return sheet


def printed(rgb: Rgb, rng: Rng) -> Rgb:
    """Print and scan: a halftone of 45 degrees, yellowed paper, faded ink, a turn of up to 5 degrees, a soft scan."""
    height, width = rgb.shape[:2]
    large = scaled(rgb, max(1.0, 400 / min(height, width))).astype(np.float32)
    y, x = np.mgrid[: large.shape[0], : large.shape[1]].astype(np.float32)
    period = rng.uniform(3, 5)
    screen = np.cos(np.pi * (x + y) / period) * np.cos(np.pi * (x - y) / period)
    dots = 1 / (1 + np.exp(-(large / 255 - 0.5 + 0.42 * screen[..., None]) * 7))
    page = (30 + dots * 225) * np.array([1.0, 0.97, rng.uniform(0.8, 0.92)]) * rng.uniform(0.85, 1.0)
    scanned = cv2.GaussianBlur(as_bytes(page), (0, 0), rng.uniform(1.0, 1.8))
    return resized(turned(scanned, rng.uniform(-5, 5), fill=(238, 234, 222)), width, height)


def beautified(rgb: Rgb, rng: Rng) -> Rgb:
    """Smooth the skin as a telephone's filter does: bilateral, then warmer, brighter and sharpened edges."""
    side = min(rgb.shape[:2])
    smooth = rgb
    for _ in range(2):
        smooth = cv2.bilateralFilter(smooth, 9, rng.uniform(25, 45), max(2.0, side * 0.02))
    lifted = 255 * (smooth / 255.0) ** rng.uniform(0.7, 0.9) * np.array([1.04, 1.0, rng.uniform(0.88, 0.97)])
    soft = cv2.GaussianBlur(lifted, (0, 0), side * 0.01)
    return as_bytes(lifted + rng.uniform(0.3, 0.8) * (lifted - soft))


def annotated(rgb: Rgb, rng: Rng) -> Rgb:
    """Draw what teachers draw: a circle, 1 to 3 arrows, a letter, and an enlarged detail set into a corner."""
    image, (height, width) = rgb.copy(), rgb.shape[:2]
    side = min(height, width)
    colour, thick = some_colour(rng), max(1, side // 75)
    centre = (round(width * rng.uniform(0.35, 0.65)), round(height * rng.uniform(0.35, 0.65)))
    cv2.circle(image, centre, round(side * rng.uniform(0.15, 0.3)), colour, thick, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 4))):
        start = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.arrowedLine(image, start, centre, WHITE if chance(rng, 0.5) else colour, thick, cv2.LINE_AA)
    letter = "ABCD"[int(rng.integers(4))]
    image = write(image, letter, (width * 0.03, height * 0.02), size=side * 0.14, colour=WHITE)
    cut = round(side * 0.15)
    y, x = int(rng.integers(0, height - cut)), int(rng.integers(0, width - cut))
    detail = scaled(rgb[y : y + cut, x : x + cut], 2.0)
    framed = cv2.copyMakeBorder(detail, thick, thick, thick, thick, cv2.BORDER_CONSTANT, value=WHITE)
    paste(image, framed, width - framed.shape[1], height - framed.shape[0])
    return image
