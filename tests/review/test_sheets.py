from __future__ import annotations

import numpy as np

from pipeline.review.sheets import CAPTION, GAP, sheet, warp_onto


def test_pictures_of_any_shape_stand_in_rows_above_their_captions() -> None:
    wide, high = np.full((20, 200, 3), 200, np.uint8), np.full((200, 20, 3), 90, np.uint8)
    drawn = sheet([[(wide, "a"), (high, "a caption that is too long for its picture")], [(wide, "c")]], width=80)
    assert drawn.size == (2 * 80 + GAP, 2 * (60 + CAPTION + GAP))
    assert drawn.getpixel((40, 30)) == (200, 200, 200)
    assert drawn.getpixel((80 + GAP + 40, 30)) == (90, 90, 90)


def test_a_picture_is_warped_onto_the_frame_of_the_other() -> None:
    a = np.zeros((40, 60, 3), np.uint8)
    a[10:20, 30:40] = 255
    b = np.zeros((50, 70, 3), np.uint8)
    b[15:25, 37:47] = 255  # what a shows, moved by (7, 5)
    from_a_to_b = np.array([[1, 0, 7], [0, 1, 5], [0, 0, 1]], dtype=np.float32)
    assert np.array_equal(warp_onto(b, a, from_a_to_b), a)
