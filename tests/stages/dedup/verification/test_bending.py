from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.shards import decode
from pipeline.stages.dedup.verification.registration import BENDING_DEGREES, Registration, measure_bending
from pipeline.stages.dedup.verification.relations import THRESHOLDS, relation
from tests.drawn import jpeg, lesion
from tests.stages.dedup.made import judge

Y, X = np.mgrid[:13, :17] * 16 + 15.5
CENTRES = np.stack([X.ravel(), Y.ravel()], axis=1)  # of the tiles of a picture of 300 by 225 pixels


def another_photograph(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a lesion and draw it again: bent by half a pixel, lit from a side, each pore shaded, other noise."""
    rng = np.random.default_rng(seed)
    image = lesion(seed, width=400, height=300)
    y, x = np.mgrid[:300, :400].astype(np.float32)
    fields = [cv2.GaussianBlur(rng.normal(0, 1, x.shape).astype(np.float32), (0, 0), 60) for _ in range(2)]
    bent_x, bent_y = (axis + 0.5 * field / field.std() for axis, field in zip((x, y), fields, strict=True))
    other = cv2.remap(image, bent_x, bent_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    slope = cv2.Sobel(cv2.GaussianBlur(other.mean(2), (0, 0), 1.5), cv2.CV_32F, 1, 0, scale=1 / 8)
    lit = (other + 4 * slope[..., None]) * (1.15 - 0.4 * x / 400)[..., None]
    return image, np.clip(lit + rng.normal(0, 14, lit.shape), 0, 255).astype(np.uint8)


def watermarked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.putText(image.copy(), "Archive", (30, 250), 0, 2, (255, 255, 255), 4, cv2.LINE_AA))


COPIES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "re-encoded": lambda image: decode(jpeg(image, 20)),
    "recoloured": lambda image: np.clip((image / 255.0) ** 0.6 * (255, 200, 150), 0, 255).astype(np.uint8),
    "under a shadow": lambda image: (image * np.linspace(1.0, 0.5, 400)[None, :, None]).astype(np.uint8),
    "cropped": lambda image: np.ascontiguousarray(image[60:260, 80:340]),
    "watermarked": watermarked,
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "half as large": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_another_photograph_whose_shifts_noise_would_explain_is_no_copy(seed: int, tmp_path: Path) -> None:
    found, _ = judge(tmp_path, *another_photograph(seed))
    assert found["relation"].tolist() == ["same_lesion"]
    assert found["inliers"].iloc[0] >= THRESHOLDS.copy_min_inliers
    assert found["correlation"].iloc[0] >= THRESHOLDS.copy_min_correlation
    assert found["residual"].iloc[0] <= THRESHOLDS.copy_max_residual
    assert found["bending"].iloc[0] > THRESHOLDS.copy_max_bending_pixels


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_not_bent(kind: str, tmp_path: Path) -> None:
    image = lesion(1, width=400, height=300)
    found, _ = judge(tmp_path, image, COPIES[kind](image))
    assert found["relation"].tolist() == ["copy"]
    assert found["bending"].iloc[0] < THRESHOLDS.copy_max_bending_pixels / 2


def test_a_smooth_field_is_found_under_noise_that_is_larger() -> None:
    field = 0.3 * np.stack([np.sin(CENTRES[:, 1] / 60), np.cos(CENTRES[:, 0] / 80)], axis=1)
    noise = np.random.default_rng(0).normal(0, 0.4, field.shape)
    length = np.median(np.linalg.norm(field, axis=1))
    assert measure_bending(CENTRES, field, np.full(len(field), 0.1)) == pytest.approx(length, abs=0.02)
    assert measure_bending(CENTRES, field + noise, np.full(len(field), 0.1)) == pytest.approx(length, abs=0.07)
    assert measure_bending(CENTRES, noise, np.full(len(field), 0.1)) < length / 2


def test_what_moved_on_single_tiles_bends_nothing() -> None:
    left = np.zeros_like(CENTRES)
    left[np.random.default_rng(0).permutation(len(left))[: len(left) // 8]] = 2.0
    assert measure_bending(CENTRES, left, np.full(len(left), 0.1)) < 0.01


def test_a_tile_says_as_much_as_its_noise_lets_it() -> None:
    left, expected = np.zeros_like(CENTRES), np.full(len(CENTRES), 0.02)
    shaken = np.arange(len(left)) % 3 == 0
    left[shaken], expected[shaken] = np.random.default_rng(0).normal(0, 2, (shaken.sum(), 2)), 2.0
    assert measure_bending(CENTRES, left, expected) < 0.01


def test_too_few_tiles_for_a_field_leave_a_pair_in_doubt_and_kept() -> None:
    few = min(BENDING_DEGREES.values()) - 1
    assert np.isnan(measure_bending(CENTRES[:few], np.zeros((few, 2)), np.ones(few)))
    assert np.isnan(measure_bending(CENTRES[:0], np.zeros((0, 2)), np.ones(0)))
    assert not np.isnan(measure_bending(CENTRES[: few + 1], np.zeros((few + 1, 2)), np.ones(few + 1)))
    seen = Registration(
        np.eye(3), overlap=1.0, correlation=0.99, residual=1.0, bending=float("nan"), shared_occlusions=float("nan")
    )
    named = {
        bent: relation(seen._replace(bending=bent), THRESHOLDS, inliers=99, same_lesion_floor=0.35)
        for bent in (0.0, 0.5)
    }
    assert named == {0.0: "copy", 0.5: "same_lesion"}
    assert relation(seen, THRESHOLDS, inliers=99, same_lesion_floor=0.35) == "same_lesion"


@pytest.mark.parametrize("measure", ["overlap", "correlation", "residual", "bending"])
def test_what_was_not_measured_proves_no_copy(measure: str) -> None:
    seen = Registration(
        np.eye(3), overlap=1.0, correlation=0.99, residual=1.0, bending=0.0, shared_occlusions=float("nan")
    )
    assert relation(seen, THRESHOLDS, inliers=99, same_lesion_floor=None) == "copy"
    unmeasured: dict[str, Any] = {measure: float("nan")}
    assert relation(seen._replace(**unmeasured), THRESHOLDS, inliers=99, same_lesion_floor=None) is None
