from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.fingerprint.params import QualityThresholds
from pipeline.fingerprint.quality import flags, measure
from tests.drawn import lesion
from tests.project import ROOT

THRESHOLDS = QualityThresholds(
    **yaml.safe_load((ROOT / "profiles/demo.yaml").read_text("utf-8"))["fingerprint"]["quality"]
)

Array = np.ndarray[Any, Any]


def raised(image: Array) -> list[str]:
    grey = Image.fromarray(image).convert("L")
    return flags(measure(grey), shorter_side=min(grey.size), thresholds=THRESHOLDS)


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
        (lesion(1, width=60, height=60), ["small"]),
        (lesion(1, width=600, height=150), ["odd_aspect"]),
    ],
    ids=["blank", "black", "dark", "bright", "blurred", "low_contrast", "small", "odd_aspect"],
)
def test_a_planted_defect_raises_its_flag(planted: Array, expected: list[str]) -> None:
    assert raised(planted) == expected


def test_scores_have_the_units_that_the_table_names() -> None:
    halves = np.zeros((100, 200, 3), np.uint8)
    halves[:, 100:] = 255
    quality = measure(Image.fromarray(halves).convert("L"))
    assert quality.mean == pytest.approx(0.5)
    assert quality.std == pytest.approx(0.5)
    assert quality.range == pytest.approx(1.0)
    assert quality.aspect == pytest.approx(2.0)


def test_sharpness_does_not_depend_on_resolution() -> None:
    soft = cv2.GaussianBlur(lesion(1, width=256, height=192), (0, 0), 1.5)
    small = Image.fromarray(soft).convert("L")
    large = small.resize((1024, 768), Image.Resampling.BICUBIC)
    assert cv2.Laplacian(np.asarray(large), cv2.CV_64F).var() < 0.2 * measure(small).sharpness
    assert measure(large).sharpness == pytest.approx(measure(small).sharpness, rel=0.3)
