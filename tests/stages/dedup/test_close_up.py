from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.core.shards import decode
from pipeline.stages.dedup.close_up import Side, compare_closely
from pipeline.stages.dedup.features import canonical, extract
from pipeline.stages.dedup.geometry import align
from pipeline.stages.dedup.relations import compare
from tests.drawn import jpeg, lesion
from tests.stages.dedup.made import PARAMS

WIDTH, HEIGHT = 600, 450
PLACE = np.array([[1.0, 0, WIDTH], [0, 1, 0], [0, 0, 1]])  # of the second of three in a row

Array = np.ndarray[Any, Any]


def side(image: Array) -> Side:
    picture = canonical(image, side_pixels=PARAMS.side_pixels)
    return Side(picture, extract(picture, max_features=PARAMS.max_features), lambda: image)


def in_a_row(*seeds: int) -> Array:
    return np.hstack([lesion(seed, width=WIDTH, height=HEIGHT) for seed in seeds])


def working(a: Side, b: Side, matrix: Array) -> Array:
    """Turn a map between pixels of two files into one between their working pixels."""
    found: Array = b.picture.to_working @ matrix @ np.linalg.inv(a.picture.to_working)
    return found


def test_one_picture_of_three_is_a_copy_after_a_second_look_only() -> None:
    alone, row = side(in_a_row(10)), side(decode(jpeg(in_a_row(10, 11, 12), 80)))
    alignment = align(alone.features, row.features, b_width=row.picture.grey.shape[1], min_inliers=6)
    assert alignment is not None
    before = compare(alone.picture, row.picture, alignment, params=PARAMS)
    after = compare_closely(alone, row, alignment.matrix, params=PARAMS)
    assert before is not None
    assert after is not None
    assert (before.relation, after.relation) == ("same_lesion", "copy")
    assert after.inliers > 10 * before.inliers


@pytest.mark.parametrize("swapped", [False, True])
def test_the_map_is_in_working_pixels_of_both_as_before(*, swapped: bool) -> None:
    alone, row = side(in_a_row(2)), side(in_a_row(1, 2, 3))
    planted = working(alone, row, PLACE)
    rough = planted @ np.array([[1.01, 0.01, 2], [-0.01, 0.99, -2], [0, 0, 1]])
    sides = (row, alone, np.linalg.inv(rough)) if swapped else (alone, row, rough)
    found = compare_closely(*sides, params=PARAMS)
    assert found is not None
    assert found.relation == "copy"
    corners = np.array([[[10, 10], [290, 10], [290, 215], [10, 215]]], float)
    matrix = np.linalg.inv(found.seen.matrix) if swapped else found.seen.matrix
    away = cv2.perspectiveTransform(corners, matrix) - cv2.perspectiveTransform(corners, planted)
    assert np.abs(away).max() < 0.25


def test_another_lesion_in_that_place_is_nothing() -> None:
    alone, row = side(in_a_row(2)), side(in_a_row(1, 4, 3))
    assert compare_closely(alone, row, working(alone, row, PLACE), params=PARAMS) is None


def test_there_is_no_second_look_where_the_file_shows_no_more() -> None:
    def unread() -> Array:
        raise AssertionError

    whole = side(in_a_row(2))
    assert compare_closely(whole, whole._replace(read=unread), np.eye(3), params=PARAMS) is None  # no part of it
    small = cv2.resize(in_a_row(1, 2, 3), (300, 75), interpolation=cv2.INTER_AREA)
    row = side(small)
    scale = np.diag([300 / (3 * WIDTH), 75 / HEIGHT, 1])
    assert compare_closely(whole, row, working(whole, row, scale @ PLACE), params=PARAMS) is None
