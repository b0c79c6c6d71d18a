"""Pictures that hold several images side by side, so that the panel shows one file a case, whatever their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
CAPTION, GAP = 18, 6  # pixels
INK, PAPER = (225, 225, 225), (32, 32, 32)


def sheet(rows: Sequence[Sequence[tuple[Picture, str]]], *, width: int) -> Image.Image:
    """Lay pictures out in rows, each above its caption.

    Args:
        rows: pictures (height, width, 3) with captions.
        width: of a picture on the sheet, in pixels; all are as high as three quarters of that, with bars where needed.

    """
    height, columns = width * 3 // 4, max((len(row) for row in rows), default=0)
    size = (columns * (width + GAP) - GAP, len(rows) * (height + CAPTION + GAP))
    canvas = Image.new("RGB", (max(size[0], 1), max(size[1], 1)), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for y, row in enumerate(rows):
        for x, (picture, caption) in enumerate(row):
            small = Image.fromarray(picture)
            small.thumbnail((width, height))
            left, top = x * (width + GAP), y * (height + CAPTION + GAP)
            canvas.paste(small, (left + (width - small.width) // 2, top + (height - small.height) // 2))
            draw.text((left + 2, top + height + 2), _fitting(caption, draw, font, width), fill=INK, font=font)
    return canvas


def warp_onto(picture: Picture, onto: Picture, homography: NDArray[np.floating]) -> Picture:
    """Show a picture where another one is.

    Args:
        picture: to be moved, (height, width, 3).
        onto: the frame that it is moved into.
        homography: 3 by 3, from pixels of `onto` to pixels of `picture`.

    """
    height, width = onto.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(picture, np.asarray(homography, dtype=np.float64), (width, height), flags=flags)
    return np.asarray(moved, dtype=np.uint8)


def _fitting(text: str, draw: ImageDraw.ImageDraw, font: Any, width: int) -> str:  # noqa: ANN401 - two kinds of font
    while text and draw.textlength(text, font=font) > width - 4:
        text = text[:-2] + "…" if not text.endswith("…") else text[:-2] + "…" if len(text) > 1 else ""
    return text
