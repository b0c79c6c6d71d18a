from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.orientations import matrix, orient
from pipeline.core.shards import decode
from pipeline.stages.dedup.features.keypoints import detect_keypoints, mirror_descriptors
from pipeline.stages.dedup.features.preprocess import preprocess
from pipeline.stages.dedup.verification.relations import THRESHOLDS
from pipeline.stages.dedup.verification.verify import FEW_KEYPOINTS
from tests.drawn import jpeg, lesion
from tests.stages.dedup.made import judge


def turn(image: NDArray[np.uint8], degrees: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    height, width = image.shape[:2]
    planted = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, planted, (width, height), borderMode=cv2.BORDER_REFLECT), planted


def shift(x: float, y: float, scale: float = 1.0) -> NDArray[np.float64]:
    return np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])


def labelled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = image.copy()
    image[20:60, 30:130] = (30, 60, 200)
    cv2.putText(image, "ID 4711", (35, 48), 0, 0.7, (255, 255, 255), 2)
    return image


def haired(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    rng, image = np.random.default_rng(seed), image.copy()
    for _ in range(9):
        start, end = np.rint(rng.uniform(0, 1, (2, 2)) * image.shape[1::-1]).astype(int).tolist()
        cv2.line(image, start, end, (40, 30, 25), 2, cv2.LINE_AA)
    return image


def watermarked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = image.copy()
    cv2.putText(image, "CONFIDENTIAL", (6, 80), 0, 0.85, (255, 255, 255), 2, cv2.LINE_AA)
    return image


def page(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show a picture of 200 by 150 pixels between lines of text, its corner at (50, 60)."""
    sheet = np.full((260, 300, 3), 255, np.uint8)
    for i, y in enumerate((12, 26, 40, 226, 240, 254)):
        cv2.putText(sheet, f"follow-up of patient {i * 37}, case {i}", (8, y), 0, 0.4, (30, 30, 60), 1, cv2.LINE_AA)
    sheet[60:210, 50:250] = image
    return sheet


def tilted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    drawn = corners + np.array([[18, 8], [-6, 15], [-20, -4], [4, -14]], np.float32)
    matrix = cv2.getPerspectiveTransform(drawn, corners)
    return np.asarray(cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_CUBIC))


def noisy(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip(image + np.random.default_rng(0).normal(0, 20, image.shape), 0, 255).astype(np.uint8)


@cache
def planted() -> dict[str, tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    image = lesion(1)
    return {
        "reencoded": (decode(jpeg(image, 30)), shift(0, 0)),
        "half": (cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), shift(0, 0, 0.5)),
        "double": (cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), shift(0, 0, 2)),
        "cropped": (image[30:136, 45:186], shift(-45, -30)),
        "turned": turn(image, 33),
        "mirrored": (np.ascontiguousarray(image[:, ::-1]), matrix(4, width=200, height=150)),
        "turned_mirror": (np.ascontiguousarray(orient(image, 7)), matrix(7, width=200, height=150)),
        "darker": ((image * 0.6 + 10).astype(np.uint8), shift(0, 0)),
        "blurred": (cv2.GaussianBlur(image, (0, 0), 1.2), shift(0, 0)),
        "labelled": (labelled(image), shift(0, 0)),
        "haired": (haired(image, 1), shift(0, 0)),
        "on a page": (page(image), shift(50, 60)),
        "framed": (cv2.copyMakeBorder(image, 12, 30, 40, 8, cv2.BORDER_CONSTANT, value=(20, 90, 20)), shift(40, 12)),
    }


@pytest.mark.parametrize("kind", planted())
def test_a_planted_copy_is_proven_with_the_transform_it_was_planted_by(kind: str, tmp_path: Path) -> None:
    copy, true = planted()[kind]
    found, transforms = judge(tmp_path, lesion(1), copy)
    assert found["relation"].tolist() == ["copy"]
    points = np.array([[20, 20, 1], [180, 20, 1], [100, 75, 1], [20, 130, 1], [180, 130, 1]])
    away = np.linalg.norm(points @ transforms[0].reshape(3, 3)[:2].T - points @ true.T, axis=1)
    assert away.max() < 1.0
    assert found["overlap"].iloc[0] > (0.75 if kind == "turned" else 0.95)


def test_a_tilted_copy_is_a_copy_by_a_homography(tmp_path: Path) -> None:
    found, transforms = judge(tmp_path, lesion(1), tilted(lesion(1)))
    assert found["relation"].tolist() == ["copy"]
    assert np.abs(transforms[0].reshape(3, 3)[2, :2]).max() > 1e-4


def test_one_picture_of_three_in_a_row_is_a_copy(tmp_path: Path) -> None:
    pictures = [lesion(seed, width=600, height=450) for seed in (10, 11, 12)]
    found, transforms = judge(tmp_path, pictures[0], decode(jpeg(np.hstack(pictures), 80)))
    assert found["relation"].tolist() == ["copy"]
    assert found["inliers"].iloc[0] > 100
    assert np.abs(transforms[0].reshape(3, 3) - np.eye(3)).max() < 1.0


def test_a_noisy_copy_is_aligned_directly(tmp_path: Path) -> None:
    found, transforms = judge(tmp_path, lesion(1), noisy(lesion(1)), proposed_by="phash")
    assert len(found) == 1
    points = np.array([[20, 20, 1], [180, 20, 1], [100, 75, 1], [20, 130, 1]])
    assert np.linalg.norm(points @ (transforms[0].reshape(3, 3)[:2] - shift(0, 0)).T, axis=1).max() < 1.5


def test_a_picture_with_hairs_elsewhere_is_another_photograph(tmp_path: Path) -> None:
    image = lesion(1)
    found, _ = judge(tmp_path, haired(image, 1), haired(image, 2))
    assert found["relation"].tolist() == ["same_lesion"]
    assert found["shared_occlusions"].iloc[0] < THRESHOLDS.copy_min_shared_occlusions


def test_a_shared_watermark_merges_nothing(tmp_path: Path) -> None:
    found, _ = judge(tmp_path, watermarked(lesion(1)), watermarked(lesion(2)))
    assert found.empty


@pytest.mark.parametrize("seed", range(5))
def test_different_lesions_are_not_merged(seed: int, tmp_path: Path) -> None:
    found, _ = judge(tmp_path, lesion(2 * seed), lesion(2 * seed + 1))
    assert found.empty


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_another_photograph_of_a_lesion_is_told_from_a_copy(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:300, :400].astype(np.float32)
    bend = [cv2.GaussianBlur(rng.normal(0, 1, (300, 400)).astype(np.float32), (0, 0), 30) for _ in range(2)]
    bent = [axis + field / field.std() * 2.5 for axis, field in zip((x, y), bend, strict=True)]
    image = lesion(seed, width=400, height=300)
    other = cv2.remap(image, bent[0], bent[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    found, _ = judge(tmp_path, image, other)
    assert found["relation"].tolist() == ["same_lesion"]


def test_two_lesions_in_one_frame_are_not_merged(tmp_path: Path) -> None:
    frame = np.full((260, 320, 3), 235, np.uint8)
    for i in range(12):
        cv2.putText(frame, f"menu {i}", (5 + 105 * (i % 3), 20 + 12 * (i // 3)), 0, 0.4, (20, 20, 20), 1)
        cv2.line(frame, (10 + 25 * i, 245), (10 + 25 * i, 255), (0, 0, 0), 1)
    pictures = []
    for seed in (1, 2):
        screen = frame.copy()
        screen[75:225, 60:260] = lesion(seed)
        pictures.append(screen)
    found, _ = judge(tmp_path, *pictures)
    assert found.empty


def test_a_shared_vignette_and_ruler_merge_nothing(tmp_path: Path) -> None:
    y, x = np.mgrid[:150, :200]
    pictures = []
    for seed in (1, 2):
        image = lesion(seed)
        image[np.hypot(x - 100, y - 75) > 95] = 4
        image[140:150:2, 60:140:4] = 0
        pictures.append(image)
    found, _ = judge(tmp_path, *pictures)
    assert found.empty


def test_the_mask_covers_a_vignette_and_nothing_of_a_plain_picture() -> None:
    image = lesion(1)
    y, x = np.mgrid[:150, :200]
    assert preprocess(image, side_pixels=300).mask.all()
    image[np.hypot(x - 100, y - 75) > 95] = 4
    mask = preprocess(image, side_pixels=300).mask
    assert not mask[:20, :20].any()
    assert mask[80:150, 100:200].all()


def smooth(centre: tuple[float, float], *, width: int = 200) -> NDArray[np.uint8]:
    height = width * 3 // 4
    y, x = np.mgrid[:height, :width] / width
    grey = 200 - 40 * np.exp(-((x - centre[0]) ** 2 + 2 * (y - centre[1]) ** 2) / 0.08) + 20 * x
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def test_smooth_pictures_are_matched_by_their_grey_values(tmp_path: Path) -> None:
    image = smooth((0.35, 0.3))
    assert len(detect_keypoints(preprocess(image, side_pixels=300), max_keypoints=400).points) < FEW_KEYPOINTS
    copy = np.ascontiguousarray(orient(smooth((0.35, 0.3), width=320), 5))
    found, transforms = judge(tmp_path, image, copy)
    assert found[["relation", "inliers"]].to_numpy().tolist() == [["copy", 0]]
    true = matrix(5, width=320, height=240) @ np.vstack([shift(0, 0, 1.6), [0, 0, 1]])
    points = np.array([[20, 20, 1], [180, 20, 1], [100, 75, 1], [20, 130, 1]])
    assert np.linalg.norm(points @ (transforms[0].reshape(3, 3)[:2] - true).T, axis=1).max() < 6


def test_unlike_smooth_pictures_and_blank_ones_are_not_matched(tmp_path: Path) -> None:
    bump = smooth((0.5, 0.35))
    ring = np.maximum(bump, 255 - bump)
    blank = np.full((150, 200, 3), 120, np.uint8)
    for name, other in {"unlike": ring, "blank": blank}.items():
        (tmp_path / name).mkdir()
        assert judge(tmp_path / name, smooth((0.35, 0.3)), other)[0].empty
    (tmp_path / "both").mkdir()
    assert judge(tmp_path / "both", blank, blank + 3)[0].empty


def test_mirrored_descriptors_are_those_of_the_mirrored_picture() -> None:
    picture = preprocess(lesion(1), side_pixels=300)
    flipped = picture._replace(grey=np.ascontiguousarray(picture.grey[:, ::-1]))
    expected, found = detect_keypoints(flipped, max_keypoints=150), detect_keypoints(picture, max_keypoints=150)
    similarity = (mirror_descriptors(found.descriptors) / 512.0) @ (expected.descriptors / 512.0).T
    upright = (found.descriptors / 512.0) @ (expected.descriptors / 512.0).T
    assert np.median(similarity.max(1)) > 0.98
    assert np.median(upright.max(1)) < 0.95
