"""Copies that show an image turned, tilted, framed or beside others, on a screen, or photographed from one."""

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
    cut,
    paste,
    resized,
    scaled,
    some_colour,
    some_text,
    write,
)


def quarter_turn(rgb: Rgb, rng: Rng) -> Rgb:
    """Turn by 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(rgb, int(rng.integers(1, 4))))


def mirror(rgb: Rgb, rng: Rng) -> Rgb:
    """Flip left to right, or (one in four) upside down."""
    return np.ascontiguousarray(rgb[::-1] if chance(rng, 0.25) else rgb[:, ::-1])


def free_turn(rgb: Rgb, rng: Rng) -> Rgb:
    """Turn by 8 to 352 degrees; what is missing is black, white or of a colour, or is cut away."""
    fill = (BLACK, WHITE, some_colour(rng), None)[int(rng.integers(4))]
    return turned(rgb, rng.uniform(8, 352), fill=fill)


def mirrored_crop(rgb: Rgb, rng: Rng) -> Rgb:
    """Flip, turn by up to 20 degrees without filling, and keep 75 to 95% of each side."""
    flipped = np.ascontiguousarray(rgb[:, ::-1])
    return cut(turned(flipped, rng.uniform(-20, 20), fill=None), rng, (0.75, 0.95))


def turned(rgb: Rgb, degrees: float, *, fill: tuple[int, int, int] | None) -> Rgb:
    """Turn around the centre.

    Args:
        rgb: the image.
        degrees: counter-clockwise.
        fill: the whole image on this colour; None: the largest upright window of the old shape that is all image.

    """
    height, width = rgb.shape[:2]
    c, s = abs(np.cos(np.deg2rad(degrees))), abs(np.sin(np.deg2rad(degrees)))
    size = (round(width * c + height * s), round(width * s + height * c))
    if fill is None:
        share = 1 / max(c + s * height / width, c + s * width / height)
        size = (round(width * share), round(height * share))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    result: Rgb = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_CUBIC, borderValue=fill or BLACK)
    return result


def perspective(rgb: Rgb, rng: Rng) -> Rgb:
    """Move each corner inwards by up to 15% of the sides, as when a print is photographed askew; cut to what is full.

    The corners of the new image are drawn in the old one, so nothing needs filling.
    """
    height, width = rgb.shape[:2]
    inset = rng.uniform(0, 0.15, (4, 2)) * (width, height)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    drawn = corners + inset * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    matrix = cv2.getPerspectiveTransform(drawn.astype(np.float32), corners.astype(np.float32))
    tilted: Rgb = cv2.warpPerspective(rgb, matrix, (width, height), flags=cv2.INTER_CUBIC)
    return tilted


def border(rgb: Rgb, rng: Rng) -> Rgb:
    """Add a border of 4 to 25% of the shorter side, each side its own; one colour, or a soft gradient."""
    height, width = rgb.shape[:2]
    top, bottom, left, right = (round(min(height, width) * share) for share in rng.uniform(0.04, 0.25, 4))
    framed = canvas(width + left + right, height + top + bottom, some_colour(rng))
    if chance(rng, 0.3):
        corners = np.array([some_colour(rng) for _ in range(4)], np.uint8).reshape(2, 2, 3)
        framed = resized(corners, framed.shape[1], framed.shape[0])
    paste(framed, rgb, left, top)
    return framed


def letterbox(rgb: Rgb, rng: Rng) -> Rgb:
    """Fit into a square or 16:9 on black or white."""
    aspect = 1.0 if chance(rng, 0.5) else 16 / 9
    height, width = rgb.shape[:2]
    size = (max(width, round(height * aspect)), max(height, round(width / aspect)))
    boxed = canvas(*size, WHITE if chance(rng, 0.5) else BLACK)
    paste(boxed, rgb, (size[0] - width) // 2, (size[1] - height) // 2)
    return boxed


def collage(rgb: Rgb, rng: Rng, other: Rgb) -> Rgb:
    """Lay it beside or above another image, on white, with a gap of 0 to 5%; either comes first."""
    beside = chance(rng, 0.5)
    height, width = rgb.shape[:2]
    scale = height / other.shape[0] if beside else width / other.shape[1]
    neighbour = resized(other, round(other.shape[1] * scale), round(other.shape[0] * scale))
    both = [rgb, neighbour] if chance(rng, 0.5) else [neighbour, rgb]
    gap = round(min(height, width) * rng.uniform(0, 0.05))
    if beside:
        strip = canvas(gap, both[0].shape[0], WHITE)
        return np.hstack([both[0], strip, resized(both[1], both[1].shape[1], both[0].shape[0])])
    strip = canvas(both[0].shape[1], gap, WHITE)
    return np.vstack([both[0], strip, resized(both[1], both[0].shape[1], both[1].shape[0])])


def phone(rgb: Rgb, rng: Rng) -> Rgb:
    """Show it on a telephone: a tall dark or bright screen, status bar, title and buttons, the image across it."""
    width = rgb.shape[1]
    height = round(width * rng.uniform(1.3, 1.9))
    paper, ink = ((18, 18, 20), WHITE) if chance(rng, 0.5) else ((250, 250, 250), (30, 30, 30))
    screen = canvas(width, max(height, round(rgb.shape[0] * 1.4)), paper)
    unit = width / 18
    clock = f"{rng.integers(24):02d}:{rng.integers(60):02d}"
    screen = write(screen, clock, (unit, unit * 0.4), size=unit * 0.8, colour=ink)
    screen = write(screen, f"{rng.integers(5, 100)}%", (width - 3 * unit, unit * 0.4), size=unit * 0.8, colour=ink)
    screen = write(screen, some_text(rng, 1), (2 * unit, unit * 1.7), size=unit, colour=ink)
    room = screen.shape[0] - rgb.shape[0]
    paste(screen, rgb, 0, round(room * rng.uniform(0.35, 0.6)))
    for i in range(4):
        centre = (round(width * (2 * i + 1) / 8), round(screen.shape[0] - unit * 1.3))
        cv2.circle(screen, centre, max(2, round(unit * 0.5)), ink, 1 if i % 2 else -1, cv2.LINE_AA)
    return screen


def viewer(rgb: Rgb, rng: Rng) -> Rgb:
    """Show it in a desktop program: title bar, tool bar and side panel; the image at 60 to 100% of its size."""
    shown = scaled(rgb, rng.uniform(0.6, 1.0))
    unit = max(10, shown.shape[1] // 14)
    margin, panel = round(unit * rng.uniform(0.3, 2)), round(unit * rng.uniform(2, 5))
    size = (shown.shape[1] + 2 * margin + panel, shown.shape[0] + 2 * margin + 3 * unit)
    window = canvas(*size, (60, 60, 64) if chance(rng, 0.5) else (225, 226, 230))
    window[:unit] = (205, 210, 220)
    window[unit : 2 * unit] = (240, 240, 242)
    window[2 * unit :, -panel:] = (250, 250, 250)
    window = write(window, f"{some_text(rng, 1)}.jpg", (unit / 2, unit * 0.15), size=unit * 0.7, colour=BLACK)
    for i in range(7):
        corner = (round(unit * (0.4 + 1.3 * i)), round(unit * 1.2))
        colour = ((70, 120, 200), (200, 90, 60), (90, 160, 90))[i % 3]
        cv2.rectangle(window, corner, (corner[0] + round(unit * 0.6), corner[1] + round(unit * 0.6)), colour, -1)
    for i in range(5):
        place = (size[0] - panel + unit * 0.2, unit * (2.3 + i))
        window = write(window, some_text(rng, 1), place, size=unit * 0.45, colour=(60, 60, 60))
    paste(window, shown, margin, 2 * unit + margin)
    return window


def web_page(rgb: Rgb, rng: Rng) -> Rgb:
    """Show it on a page between lines of text, on white, taking 55 to 75% of the width."""
    width = round(rgb.shape[1] / rng.uniform(0.55, 0.75))
    line = width / 26
    above, below = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    page = canvas(width, round(rgb.shape[0] + line * 1.6 * (above + below + 1)), WHITE)
    left = round((width - rgb.shape[1]) * rng.uniform(0.1, 0.9))
    top = round(line * 1.6 * above)
    for i in range(above + below):
        y = line * (0.4 + 1.6 * i) + (rgb.shape[0] + line * 0.8 if i >= above else 0)
        page = write(page, some_text(rng, 5), (line, y), size=line, colour=(40, 40, 60))
    paste(page, rgb, left, top)
    return page


def photographed(rgb: Rgb, rng: Rng) -> Rgb:
    """Photograph a screen: a grid of subpixels beats with the camera's (moiré), a tilt, a turn of 4 degrees, glare."""
    height, width = rgb.shape[:2]
    seen = scaled(rgb, rng.uniform(0.9, 1.4))
    h, w = seen.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    period = rng.uniform(2.1, 3.4)
    angle = rng.uniform(-0.1, 0.1)
    across = x * np.cos(angle) + y * np.sin(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    phases = np.arange(3) * 2 * np.pi / 3
    stripes = 1 + rng.uniform(0.12, 0.3) * np.cos(2 * np.pi * across[..., None] / period + phases)
    stripes *= 1 + rng.uniform(0.05, 0.15) * np.cos(2 * np.pi * along / (period * 1.01))[..., None]
    spot = np.exp(-((x - w * rng.uniform(0, 1)) ** 2 + (y - h * rng.uniform(0, 1)) ** 2) / (0.15 * w * h))
    lit = as_bytes(seen * stripes * rng.uniform(0.8, 1.05) + spot[..., None] * rng.uniform(0, 60))
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    moved = (corners + rng.uniform(-0.04, 0.04, (4, 2)) * (w, h)).astype(np.float32)
    tilted = cv2.warpPerspective(lit, cv2.getPerspectiveTransform(corners, moved), (w, h), flags=cv2.INTER_LINEAR)
    return resized(turned(tilted, rng.uniform(-4, 4), fill=(12, 12, 14)), width, height)
