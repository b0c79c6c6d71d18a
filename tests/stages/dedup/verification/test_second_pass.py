from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.shards import decode
from pipeline.stages.dedup.features.keypoints import detect_keypoints
from pipeline.stages.dedup.features.preprocess import preprocess
from pipeline.stages.dedup.verification.ransac import align_keypoints
from pipeline.stages.dedup.verification.relations import THRESHOLDS, compare_by_keypoints
from pipeline.stages.dedup.verification.second_pass import Side, compare_again
from tests.drawn import jpeg, lesion

WIDTH, HEIGHT = 600, 450
PLACE = np.array([[1.0, 0, WIDTH], [0, 1, 0], [0, 0, 1]])  # of the second of three in a row


def side(image: NDArray[np.uint8]) -> Side:
    working = preprocess(image)
    return Side(working, detect_keypoints(working), lambda: image)


def in_a_row(*seeds: int) -> NDArray[np.uint8]:
    return np.hstack([lesion(seed, width=WIDTH, height=HEIGHT) for seed in seeds])


def working(a: Side, b: Side, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a map between pixels of two files into one between their working pixels."""
    found: NDArray[np.float64] = b.image.to_working @ matrix @ np.linalg.inv(a.image.to_working)
    return found


def test_one_picture_of_three_is_a_copy_after_a_second_look_only() -> None:
    alone, row = side(in_a_row(10)), side(decode(jpeg(in_a_row(10, 11, 12), 80)))
    alignment = align_keypoints(alone.keypoints, row.keypoints, b_width=row.image.grey.shape[1], min_inliers=6)
    assert alignment is not None
    before = compare_by_keypoints(alone.image, row.image, alignment, thresholds=THRESHOLDS)
    after = compare_again(alone, row, alignment.matrix, thresholds=THRESHOLDS)
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
    found = compare_again(*sides, thresholds=THRESHOLDS)
    assert found is not None
    assert found.relation == "copy"
    corners = np.array([[[10, 10], [290, 10], [290, 215], [10, 215]]], float)
    matrix = np.linalg.inv(found.registration.matrix) if swapped else found.registration.matrix
    away = cv2.perspectiveTransform(corners, matrix) - cv2.perspectiveTransform(corners, planted)
    assert np.abs(away).max() < 0.25


def test_another_lesion_in_that_place_is_nothing() -> None:
    alone, row = side(in_a_row(2)), side(in_a_row(1, 4, 3))
    assert compare_again(alone, row, working(alone, row, PLACE), thresholds=THRESHOLDS) is None


def test_there_is_no_second_look_where_the_file_shows_no_more() -> None:
    def unread() -> NDArray[np.uint8]:
        raise AssertionError

    whole = side(in_a_row(2))
    assert compare_again(whole, whole._replace(read=unread), np.eye(3), thresholds=THRESHOLDS) is None  # no part of it
    small = cv2.resize(in_a_row(1, 2, 3), (300, 75), interpolation=cv2.INTER_AREA)
    row = side(small)
    scale = np.diag([300 / (3 * WIDTH), 75 / HEIGHT, 1])
    assert compare_again(whole, row, working(whole, row, scale @ PLACE), thresholds=THRESHOLDS) is None
