from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.stages.fingerprint.as_pillow import to_grey
from pipeline.stages.fingerprint.greys import unreduced
from pipeline.stages.fingerprint.hashes import shrink
from pipeline.stages.fingerprint.quality import Quality, Thresholds, flags, measure
from tests.drawn import lesion

THRESHOLDS = Thresholds(low_contrast_max_range=0.08)


def score(grey: NDArray[np.uint8]) -> Quality:
    """Score one grey picture."""
    (quality,) = measure([unreduced(grey)], shrink([grey]))
    return quality


def raised(image: NDArray[np.uint8]) -> list[str]:
    grey = to_grey(image)
    return flags(score(grey), shorter_side=min(grey.shape), thresholds=THRESHOLDS)


def vignette(image: NDArray[np.uint8], *, level: int, radius: float = 0.53) -> NDArray[np.uint8]:
    """Darken what lies outside a circle, whose radius is a share of the width."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    outside = np.hypot(x - width / 2, y - height / 2) > radius * width
    return np.where(outside[..., None], np.uint8(level), image)


@pytest.mark.parametrize("seed", range(10))
def test_a_good_picture_raises_no_flag(seed: int) -> None:
    assert raised(lesion(seed)) == []


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (np.full((150, 200, 3), 128, np.uint8), ["blank"]),
        (np.zeros((150, 200, 3), np.uint8), ["blank", "dark"]),
        (lesion(1) // 9, ["dark", "low_contrast"]),
        (np.clip(lesion(1) * 2.0, 0, 255).astype(np.uint8), ["bright"]),
        (cv2.GaussianBlur(lesion(1), (0, 0), 6), ["blurred"]),
        ((lesion(1) * 0.12 + 120).astype(np.uint8), ["low_contrast"]),
        (vignette(lesion(1), level=15), ["dark_corners"]),
        (vignette(lesion(1, width=1000, height=750), level=0), ["dark_corners"]),
        (lesion(1, width=60, height=60), ["small"]),
        (lesion(1, width=600, height=150), ["odd_aspect"]),
    ],
    ids=[
        *["blank", "black", "dark", "bright", "blurred", "low_contrast"],
        *["vignette", "large vignette", "small", "odd_aspect"],
    ],
)
def test_a_planted_defect_raises_its_flag(planted: NDArray[np.uint8], expected: list[str]) -> None:
    assert raised(planted) == expected


def test_scores_have_the_units_that_the_table_names() -> None:
    halves = np.zeros((100, 200), np.uint8)
    halves[:, 100:] = 255
    quality = score(halves)
    assert quality.mean == pytest.approx(0.5, abs=0.01)
    assert quality.std == pytest.approx(0.5, abs=0.01)
    assert quality.range == pytest.approx(1.0)
    assert quality.aspect == pytest.approx(2.0)
    assert quality.dark_corners == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("scale", [1, 4])
def test_dark_corners_are_measured_as_their_share_of_the_area(scale: int) -> None:
    grey = np.full((150 * scale, 200 * scale), 150, np.uint8)
    grey[: 30 * scale, : 40 * scale] = 10
    grey[-30 * scale :, : 60 * scale] = 10
    assert score(grey).dark_corners == pytest.approx(0.1, rel=0.1)


def test_what_is_dark_but_touches_no_corner_is_no_dark_corner() -> None:
    grey = np.full((150, 200), 150, np.uint8)
    grey[50:100, 60:140] = 10
    grey[:20, 80:120] = 10
    assert score(grey).dark_corners == 0


def test_a_hair_across_a_corner_is_no_dark_corner() -> None:
    grey = np.full((150, 200), 150, np.uint8)
    cv2.line(grey, (0, 0), (199, 149), 20, 1)
    assert score(grey).dark_corners == 0


def test_scores_hardly_depend_on_resolution() -> None:
    soft = cv2.GaussianBlur(lesion(1, width=256, height=192), (0, 0), 1.5)
    small = to_grey(soft)
    for width, height in ((1024, 768), (700, 525), (3000, 2250)):
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        assert score(large) == pytest.approx(score(small), rel=0.3)
    assert cv2.Laplacian(large, cv2.CV_16S).var() < 0.2 * score(small).sharpness


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 2), (257, 256)], ids=str)
def test_every_size_can_be_scored(size: tuple[int, int]) -> None:
    assert np.isfinite(score(np.full(size, 90, np.uint8))).all()
