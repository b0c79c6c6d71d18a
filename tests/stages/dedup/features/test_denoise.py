from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.stages.dedup.features.denoise import band_pass, denoise, noise_level, stripe_level
from pipeline.stages.dedup.verification.registration import BAND
from tests.drawn import lesion


def picture(seed: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(lesion(seed), cv2.COLOR_RGB2GRAY))


def likeness(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Correlate what tiles are compared by."""
    return float(np.corrcoef(band_pass(a, BAND).ravel(), band_pass(b, BAND).ravel())[0, 1])


@pytest.mark.parametrize("deviation", [2.0, 6.0, 18.0])
def test_the_level_is_the_deviation_of_white_noise(deviation: float) -> None:
    noise = np.random.default_rng(1).normal(0, deviation, (150, 200))
    grey = np.clip(np.rint(np.linspace(90, 150, 200) + noise), 0, 255).astype(np.uint8)
    assert noise_level(grey) == pytest.approx(deviation, rel=0.1)
    assert stripe_level(grey) == pytest.approx(deviation, rel=0.15)


def test_edges_and_struck_pixels_are_no_noise() -> None:
    grey = np.full((150, 200), 120, np.uint8)
    grey[:, 100:] = 200
    grey[np.random.default_rng(2).random(grey.shape) < 0.02] = 255
    assert noise_level(grey) < 1


def test_a_quiet_picture_stays_as_it_is() -> None:
    for seed in range(4):
        grey = picture(seed)
        assert denoise(grey) is grey


def test_noise_is_taken_out_and_what_is_shown_stays() -> None:
    for seed in range(4):
        grey, rng = picture(seed), np.random.default_rng(seed)
        noisy = np.clip(grey + rng.normal(0, 15, grey.shape), 0, 255).astype(np.uint8)
        noisy[rng.random(grey.shape) < 0.02] = 255
        calm = denoise(noisy)
        assert noise_level(calm) < noise_level(noisy) / 4
        assert likeness(grey, calm) > likeness(grey, noisy)


def test_stripes_are_taken_out_though_they_are_no_noise() -> None:
    grey = picture(1)
    striped = np.clip(grey + 25 * np.cos(2 * np.pi * np.arange(grey.shape[1]) / 2.6), 0, 255).astype(np.uint8)
    assert noise_level(striped) < 3
    assert stripe_level(striped) > 10
    assert stripe_level(denoise(striped)) < stripe_level(striped) / 4


def test_pictures_too_small_to_measure_are_left_alone() -> None:
    for shape in ((1, 1), (2, 9), (9, 2)):
        tiny = np.full(shape, 7, np.uint8)
        assert noise_level(tiny) == 0
        assert (denoise(tiny) == tiny).all()
