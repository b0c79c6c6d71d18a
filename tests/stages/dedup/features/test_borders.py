from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.stages.dedup.features.borders import FRAME_INSET, content_box, framed_box
from pipeline.stages.dedup.features.preprocess import preprocess
from tests.drawn import lesion

SIDE_PIXELS = 300


def window(image: NDArray[np.uint8], *, dark: bool) -> NDArray[np.uint8]:
    """Show a picture in a program's window: bars with buttons, a panel of text; its corner at (14, 44)."""
    height, width = image.shape[:2]
    sheet = np.full((height + 60, width + 90, 3), 58 if dark else 226, np.uint8)
    sheet[:14], sheet[14:30], sheet[30:, -70:] = 208, 240, 250
    for i in range(6):
        cv2.rectangle(sheet, (6 + 20 * i, 18), (15 + 20 * i, 26), (60 + 30 * i, 90, 170), -1)
        cv2.putText(sheet, f"case {i * 31}", (width + 24, 50 + 14 * i), 0, 0.35, (60, 60, 60), 1, cv2.LINE_AA)
    sheet[44 : 44 + height, 14 : 14 + width] = image
    return sheet


def slide(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put a picture on a slide, below a title and beside lines of text; its corner at (220, 60)."""
    height, width = image.shape[:2]
    sheet = np.full((height + 80, width + 230, 3), (24, 44, 92), np.uint8)
    sheet[:36] = (120, 30, 40)
    cv2.putText(sheet, "Pigmented lesions", (10, 26), 0, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    for i in range(5):
        cv2.putText(sheet, f"- point {i * 17} of many", (8, 70 + 24 * i), 0, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    sheet[60 : 60 + height, 220 : 220 + width] = image
    return sheet


def compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def grey(image: NDArray[np.uint8], longer_side: int = SIDE_PIXELS) -> NDArray[np.uint8]:
    scale = longer_side / max(image.shape[:2])
    smaller = cv2.resize(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    return np.asarray(smaller)


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("shown", ["dark window", "bright window", "slide"])
def test_a_picture_is_taken_out_of_what_shows_it(shown: str, quality: int) -> None:
    for seed in range(3):
        image = lesion(seed)
        height, width = image.shape[:2]
        sheet = slide(image) if shown == "slide" else window(image, dark=shown == "dark window")
        left, top = (220, 60) if shown == "slide" else (14, 44)
        working = preprocess(compressed(sheet, quality), side_pixels=SIDE_PIXELS)
        corners = np.array([[left, left + width - 1], [top, top + height - 1], [1, 1]], float)
        x, y = (working.to_working @ corners)[:2]
        assert np.abs(x - [0, working.grey.shape[1] - 1]).max() < 8
        assert np.abs(y - [0, working.grey.shape[0] - 1]).max() < 8


def test_a_picture_that_fills_its_file_is_left_whole() -> None:
    for seed in range(12):
        image = lesion(seed)
        whole = (0, 0, *grey(image).shape[::-1])
        for quality in (25, 75):
            assert framed_box(grey(compressed(image, quality))) == whole


def test_a_vignette_and_a_turned_picture_are_not_full_rectangles() -> None:
    image = grey(lesion(3))
    height, width = image.shape
    y, x = np.mgrid[:height, :width]
    vignette = np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 2) ** 2, image, 5).astype(np.uint8)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 25, 0.8)
    turned = cv2.warpAffine(image, turn, (width, height), borderValue=255)
    for picture in (vignette, turned):
        assert framed_box(picture) == (0, 0, width, height)


def sheet_of(*pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay grey pictures beside each other on white."""
    height, width = max(len(one) for one in pictures), sum(one.shape[1] for one in pictures)
    sheet = np.full((height + 10, width + 10 * len(pictures) + 5), 255, np.uint8)
    left = 5
    for one in pictures:
        sheet[5 : 5 + len(one), left : left + one.shape[1]] = one
        left += one.shape[1] + 10
    return sheet


def test_a_sheet_with_two_pictures_is_left_whole() -> None:
    large = grey(lesion(1), 150)
    for side in (150, 100):
        sheet = sheet_of(large, grey(lesion(2), side))
        assert framed_box(sheet) == (0, 0, *sheet.shape[::-1])


def bent_bar(side: int) -> NDArray[np.uint8]:
    """Draw what is large and no rectangle: a window's bar and panel."""
    bar = np.full((side, side), 255, np.uint8)
    bar[:24], bar[:, :24] = 90, 90
    return bar


@pytest.mark.parametrize("beside", ["small sign", "bent bar"])
def test_a_picture_is_taken_from_beside_what_is_none(beside: str) -> None:
    picture = grey(lesion(1), 150)
    sheet = sheet_of(picture, grey(lesion(2), 40) if beside == "small sign" else bent_bar(112))
    edges = 5, 5, 5 + picture.shape[1], 5 + len(picture)
    assert np.abs(np.subtract(framed_box(sheet), edges)).max() <= FRAME_INSET


def test_plain_files_have_no_picture_in_them() -> None:
    for level in (0, 128, 255):
        plain = np.full((200, 300), level, np.uint8)
        assert framed_box(plain) == (0, 0, 300, 200)
        assert content_box(plain) == (0, 0, 300, 200)
    tiny = np.full((8, 300), 255, np.uint8)
    tiny[2:6, 50:250] = 90
    assert framed_box(tiny) == (0, 0, 300, 8)
