"""Images that have no place among lesions, such as scrapers bring: charts, slides, landscapes, things."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike

from pipeline.demo.fields import chance
from pipeline.demo.lesions import Rng
from pipeline.demo.photograph import RGB

WORDS = [
    "abstract",
    "advice",
    "clinic",
    "contact",
    "cream",
    "figure",
    "follow-up",
    "home",
    "menu",
    "overview",
    "patients",
]
WORDS += [
    "print",
    "privacy",
    "related",
    "results",
    "search",
    "share",
    "study",
    "sunscreen",
    "table",
    "terms",
    "treatment",
]


def chart(rng: Rng) -> RGB:
    """Draw a bar or line chart with axes and a title."""
    image, width, height = _canvas(rng, rng.integers(240, 256, 3))
    left, bottom = round(0.12 * width), round(0.85 * height)
    values = rng.uniform(0.1, 0.9, rng.integers(4, 11)) * 0.7 * height
    step = (width - left) / (len(values) + 1)
    tops = [(round(left + (i + 0.6) * step), round(bottom - value)) for i, value in enumerate(values)]
    if chance(rng, 0.6):
        for x, top in tops:
            cv2.rectangle(image, (x - round(step / 3), top), (x + round(step / 3), bottom), _colour(rng), -1)
    else:
        for _ in range(rng.integers(1, 4)):
            shift = rng.normal(0, 0.08 * height, len(tops)).astype(int)
            path = np.array([(x, np.clip(y + d, 0, bottom)) for (x, y), d in zip(tops, shift, strict=True)], np.int32)
            cv2.polylines(image, [path], isClosed=False, color=_colour(rng), thickness=2, lineType=cv2.LINE_AA)
    cv2.line(image, (left, bottom), (width - 8, bottom), (40, 40, 40), 1)
    cv2.line(image, (left, bottom), (left, round(0.1 * height)), (40, 40, 40), 1)
    _write(image, _words(rng, 3), (left, round(0.08 * height) + 4), 0.4)
    return image


def slide(rng: Rng) -> RGB:
    """Draw a slide or a web page: a heading bar and lines of text."""
    image, width, height = _canvas(rng, rng.integers(215, 256, 3))
    bar = round(rng.uniform(0.1, 0.2) * height)
    cv2.rectangle(image, (0, 0), (width, bar), _colour(rng), -1)
    _write(image, _words(rng, 2), (10, round(0.7 * bar)), 0.6, (255, 255, 255))
    for y in range(bar + 20, height - 8, int(rng.integers(14, 24))):
        _write(image, _words(rng, int(rng.integers(2, 7))), (int(rng.integers(8, 24)), y), 0.38, (45, 45, 50))
    return image


def landscape(rng: Rng) -> RGB:
    """Draw sky, hills and a sun."""
    image, width, height = _canvas(rng, (0, 0, 0))
    top, low = rng.uniform((40, 90, 150), (130, 170, 240)), rng.uniform((190, 170, 130), (250, 230, 220))
    share = np.linspace(0, 1, height)[:, None, None]
    image[:] = (top * (1 - share) + low * share).astype(np.uint8)
    centre = (int(rng.integers(width)), int(rng.integers(height // 2)))
    cv2.circle(image, centre, int(rng.integers(10, 30)), (255, 240, 190), -1, cv2.LINE_AA)
    x = np.arange(width)
    for level in np.linspace(0.5, 0.85, rng.integers(2, 5)):
        waves = sum(rng.normal(0, 0.04) * np.sin(x / width * f + rng.uniform(0, 6)) for f in (4, 9, 19))
        ridge = np.clip((level + waves) * height, 0, height).astype(int)
        colour = rng.uniform((20, 50, 25), (110, 140, 90)).astype(np.uint8)
        image[np.arange(height)[:, None] >= ridge] = colour
    noisy = image + rng.normal(0, 5, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def thing(rng: Rng) -> RGB:
    """Draw a plain object on a plain ground: a tube, a jar or a box, with a label."""
    image, width, height = _canvas(rng, rng.integers(150, 250, 3))
    for _ in range(rng.integers(1, 4)):
        w, h = int(rng.uniform(0.15, 0.35) * width), int(rng.uniform(0.3, 0.65) * height)
        x, y = int(rng.integers(0, width - w)), int(0.92 * height) - h
        cv2.ellipse(image, (x + w // 2, y + h), (w // 2 + 8, 8), 0, 0, 360, (120, 120, 125), -1, cv2.LINE_AA)
        cv2.rectangle(image, (x, y), (x + w, y + h), _colour(rng), -1)
        cv2.rectangle(image, (x + w // 4, y - h // 6), (x + 3 * w // 4, y), _colour(rng), -1)
        cv2.rectangle(image, (x + w // 8, y + h // 3), (x + 7 * w // 8, y + 2 * h // 3), (245, 245, 240), -1)
        _write(image, _words(rng, 1), (x + w // 7, y + h // 2), 0.35)
    shade = np.linspace(rng.uniform(0.75, 0.95), 1.05, width)[None, :, None]
    return np.clip(image * shade + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


KINDS: tuple[Callable[[Rng], RGB], ...] = (chart, slide, landscape, thing)


def _canvas(rng: Rng, colour: ArrayLike) -> tuple[RGB, int, int]:
    width, height = int(rng.integers(200, 420)), int(rng.integers(180, 340))
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.asarray(colour)
    return image, width, height


def _colour(rng: Rng) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(20, 220, 3))
    return red, green, blue


def _words(rng: Rng, count: int) -> str:
    return " ".join(rng.choice(WORDS, count))


def _write(
    image: RGB, words: str, where: tuple[int, int], scale: float, ink: tuple[int, int, int] = (30, 30, 30)
) -> None:
    cv2.putText(image, words, where, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
