from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.orientations import COUNT, IDENTITY, matrix, orient


def test_the_eight_orientations_differ_and_the_first_is_the_picture_itself() -> None:
    image = np.arange(12).reshape(3, 4)
    assert np.array_equal(orient(image, IDENTITY), image)
    assert len({(orient(image, o).shape, orient(image, o).tobytes()) for o in range(COUNT)}) == COUNT


@pytest.mark.parametrize("orientation", range(COUNT))
def test_the_matrix_says_where_each_pixel_goes(orientation: int) -> None:
    image = np.arange(12).reshape(3, 4)
    turned = orient(image, orientation)
    for y in range(3):
        for x in range(4):
            to_x, to_y = matrix(orientation, width=4, height=3) @ [x, y, 1]
            assert turned[round(to_y), round(to_x)] == image[y, x]
