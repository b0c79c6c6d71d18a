from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.occlusions import fill_occlusions, find_occlusions
from pipeline.stages.dedup.features.preprocess import preprocess
from tests.drawn import lesion


def working(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return preprocess(image, side_pixels=300).grey


def test_hairs_and_letters_are_found_and_filled_by_what_surrounds_them() -> None:
    grey = working(lesion(1))
    covered = grey.copy()
    for x in (40, 120, 210):
        cv2.line(covered, (x, 10), (x + 50, 210), 20, 3, cv2.LINE_AA)
    cv2.putText(covered, "CASE 12", (60, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 3, cv2.LINE_AA)
    laid_over = np.abs(covered.astype(int) - grey) > 60
    filled, found = fill_occlusions(covered)
    assert (found[laid_over] > 0).mean() > 0.97
    off = np.abs(filled.astype(int) - grey)[laid_over]
    assert np.median(off) < 10
    assert np.abs(covered.astype(int) - grey)[laid_over].mean() > 5 * off.mean()


def test_skin_and_noise_are_no_occlusions() -> None:
    for seed in range(4):
        grey = working(lesion(seed))
        assert (find_occlusions(grey) > 0).mean() < 0.02
        noisy = np.clip(grey + np.random.default_rng(seed).normal(0, 12, grey.shape), 0, 255).astype(np.uint8)
        assert (find_occlusions(noisy) > 0).mean() < 0.02


def test_an_image_without_occlusions_is_left_alone() -> None:
    plain = np.full((200, 300), 120, np.uint8)
    filled, found = fill_occlusions(plain)
    assert not found.any()
    assert (filled == plain).all()
