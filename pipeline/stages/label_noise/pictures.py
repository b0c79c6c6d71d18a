"""Contact sheets: what the stage doubts most, to look at."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.shards import Pixels
from pipeline.stages.label_noise.labelled import Array

COLUMNS = 8
THUMBNAIL = (180, 140)  # width, height
CAPTION = 60
GAP = 6
LINE = 14
SCORES = ("error_probability", "off_topic")


def draw_sheets(scores: pd.DataFrame, pixels: Pixels, *, count: int) -> dict[str, bytes]:
    """Draw one sheet a score, highest first.

    Args:
        scores: the table LabelScores.
        pixels: of its images, in its order.
        count: images on a sheet, at most.

    Returns:
        PNG by file name.

    """
    found = {}
    for name in SCORES:
        order = np.argsort(-scores[name].to_numpy(), kind="stable")[:count]
        captions = [_caption(scores.iloc[i], name) for i in order]
        found[f"{name}.png"] = _sheet([pixels[int(i)] for i in order], captions)
    return found


def _caption(row: pd.Series, score: str) -> list[str]:
    lines = [str(row["given"]), f"{score.replace('_', ' ')} {row[score]:.2f}", str(row["image_id"])]
    return [lines[0], _change(row), *lines[1:]] if score == "error_probability" else lines


def _change(row: pd.Series) -> str:
    return "likeliest as given" if row["suggested"] == row["given"] else f"or {row['suggested']}"


def _sheet(images: list[Array], captions: list[list[str]]) -> bytes:
    width, height = THUMBNAIL[0] + GAP, THUMBNAIL[1] + CAPTION + GAP
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + i % COLUMNS * width, GAP + i // COLUMNS * height
        picture = Image.fromarray(image)
        picture.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (THUMBNAIL[0] - picture.width) // 2, top))
        for line, words in enumerate(caption):
            canvas.text((left, top + THUMBNAIL[1] + 2 + line * LINE), _fit(words, font), "black", font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _fit(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Keep the end of a text that is too wide: ids differ there."""
    if font.getlength(words) <= THUMBNAIL[0]:
        return words
    while font.getlength(f"…{words}") > THUMBNAIL[0]:
        words = words[1:]
    return f"…{words}"
