"""One picture a finding: both images, and one laid over the other by the transform that was found."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.shards import Pixels

PANEL = (320, 240)  # width, height
STRIP = 44  # height of the caption
GAP = 4
OUTLINE = (0, 200, 0)

Array = np.ndarray[Any, Any]


def choose(duplicates: pd.DataFrame, conflicting: pd.DataFrame, *, count: int) -> Array:
    """Choose the rows most worth a look: proven by geometry, first those that contradict labels or lesions.

    Returns:
        positions of rows of `duplicates`, best first.

    """
    errors = set(zip(conflicting["a"], conflicting["b"], strict=True))
    contradicts = np.array([pair in errors for pair in zip(duplicates["a"], duplicates["b"], strict=True)], dtype=bool)
    geometry = (duplicates["evidence"] == "geometry").to_numpy()
    order = np.lexsort([-duplicates["inliers"].to_numpy(), ~contradicts, ~geometry])
    return order[:count]


def draw(
    duplicates: pd.DataFrame, transforms: Array, chosen: Array, *, image_ids: Array, pixels: Pixels
) -> Iterator[tuple[str, bytes]]:
    """Draw pairs side by side, with the overlay and a caption.

    Args:
        duplicates: the table Duplicates.
        transforms: theirs, (n, 9).
        chosen: rows to draw, in the order of the pictures.
        image_ids: of `pixels`, sorted.
        pixels: of all images.

    Yields:
        file name and PNG bytes.

    """
    for i, position in enumerate(chosen):
        row, transform = duplicates.iloc[position], transforms[position]
        first, second = (pixels[int(np.searchsorted(image_ids, row[end]))] for end in ("a", "b"))
        size, matrix = second.shape[1::-1], transform.reshape(3, 3).astype(np.float64)
        moved = cv2.warpPerspective(first, matrix, size, flags=cv2.INTER_AREA)
        inside = cv2.warpPerspective(np.ones(first.shape[:2], np.uint8), matrix, size)
        blend = np.where(inside[..., None] > 0, (moved.astype(np.uint16) + second) // 2, second // 3).astype(np.uint8)
        edge, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(blend, edge, -1, OUTLINE, max(1, second.shape[1] // 200))
        evidence = (
            f"{row.evidence}, correlation {row.correlation:.2f}, {row.inliers} inliers, overlap {row.overlap:.2f}"
        )
        image = _compose([first, second, blend], [str(row.a), str(row.b), f"{row.relation}: {evidence}"])
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        yield f"{i:03d}_{row.relation}.png", buffer.getvalue()


def _compose(panels: list[Array], captions: list[str]) -> Image.Image:
    width, height = PANEL
    sheet = Image.new("RGB", (3 * width + 2 * GAP, height + STRIP), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for i, panel in enumerate(panels):
        picture = Image.fromarray(panel)
        picture.thumbnail(PANEL, Image.Resampling.LANCZOS)
        left = i * (width + GAP)
        sheet.paste(picture, (left + (width - picture.width) // 2, (height - picture.height) // 2))
    names, finding = captions[:2], captions[2]
    canvas.text((4, height + 4), finding, "black", font)
    canvas.text((4, height + 22), "   |   ".join(names), "black", font)
    return sheet
