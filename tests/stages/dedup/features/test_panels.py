from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.shards import decode
from pipeline.stages.dedup.candidates.propose import Reach, propose
from pipeline.stages.dedup.features.extract import extract_features
from pipeline.stages.dedup.features.panels import INSET, find_panels
from pipeline.stages.dedup.features.preprocess import preprocess, views
from pipeline.stages.ingest.tables import Images, open_pixels
from tests.drawn import ingest, jpeg, lesion, png
from tests.stages.dedup.made import judge

WIDTH, HEIGHT = 200, 150
OUTSIDE = 3  # pixels that a part may lack or have too many, beyond its inset

Box = tuple[int, int, int, int]


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def grid(rows: int, columns: int, *, gap: int = 0, first: int = 0) -> tuple[NDArray[np.uint8], list[Box]]:
    """Lay lesions on a white sheet, edge to edge or with a gap; return it and where they are."""
    size = rows * HEIGHT + (rows - 1) * gap, columns * WIDTH + (columns - 1) * gap
    sheet, places = np.full((*size, 3), 255, np.uint8), []
    for i in range(rows * columns):
        top, left = (i // columns) * (HEIGHT + gap), (i % columns) * (WIDTH + gap)
        sheet[top : top + HEIGHT, left : left + WIDTH] = lesion(first + i)
        places.append((left, top, left + WIDTH, top + HEIGHT))
    return sheet, places


def away(found: list[Box], places: list[Box]) -> int:
    """Say by how many pixels boxes differ at most, each from the one nearest to it."""
    assert len(found) == len(places)
    distances = np.abs(np.subtract(np.array(found)[:, None], np.array(places)[None])).max(axis=2)
    assert sorted(distances.argmin(axis=1)) == list(range(len(places)))
    return int(distances.min(axis=1).max())


@pytest.mark.parametrize("gap", [0, 8])
@pytest.mark.parametrize("layout", [(1, 2), (2, 1), (1, 3), (2, 2)])
def test_a_collage_falls_into_its_panels(layout: tuple[int, int], gap: int) -> None:
    sheet, places = grid(*layout, gap=gap)
    for quality in (40, 90):
        found = find_panels(grey(decode(jpeg(sheet, quality))))
        assert away(found, places) <= INSET + OUTSIDE


def test_an_image_on_its_own_blurred_enlargement_is_a_panel() -> None:
    image = lesion(4)
    sheet = cv2.GaussianBlur(cv2.resize(image, (480, 360)), (0, 0), 12)[:, 120:360]
    sheet[100:250, 20:220] = image
    (found,) = (box for box in find_panels(grey(sheet)) if box[3] - box[1] < 200 and box[2] - box[0] < 220)
    assert np.abs(np.subtract(found, (20, 100, 220, 250))).max() <= INSET + OUTSIDE


def test_an_image_without_cuts_has_no_panels() -> None:
    for seed in range(20):
        image = lesion(seed, width=300, height=225)
        assert find_panels(grey(image)) == []
        assert find_panels(grey(decode(jpeg(image, 60)))) == []


def test_skin_that_changes_its_tone_along_a_soft_or_a_bent_line_has_no_cut() -> None:
    image, other = lesion(1, width=300, height=225), lesion(2, width=300, height=225)
    x = np.arange(300)
    soft = np.clip((x - 130) / 40, 0, 1)[None, :, None]
    bent = (x[None] > 150 + 25 * np.sin(np.arange(225) / 30)[:, None])[..., None]
    for share in (soft, bent):
        assert find_panels(grey((image * (1 - share) + other * share).astype(np.uint8))) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (9, 9), (300, 300)])
def test_plain_and_tiny_files_have_no_panels(shape: tuple[int, int]) -> None:
    assert find_panels(np.full(shape, 128, np.uint8)) == []


def test_a_panel_that_is_most_of_the_full_frame_is_no_view_of_its_own() -> None:
    bordered = cv2.copyMakeBorder(lesion(1), 0, 60, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert find_panels(grey(bordered)) != []
    assert len(views(bordered, side_pixels=300)) == 1


def test_views_lie_where_their_boxes_say() -> None:
    sheet, places = grid(2, 2)
    (whole, seen), *others = views(sheet, side_pixels=300)
    assert whole == (0, 0, 2 * WIDTH, 2 * HEIGHT)
    assert np.array_equal(seen.grey, preprocess(sheet, side_pixels=300).grey)
    assert away([box for box, _ in others], places) <= INSET + OUTSIDE
    for (left, top, *_), picture in others:
        x, y, _ = np.linalg.inv(picture.to_working) @ (-0.5, -0.5, 1)
        assert np.hypot(x + 0.5 - left, y + 0.5 - top) < 1


@pytest.mark.parametrize("sheet_first", [False, True])
def test_one_of_sixteen_panels_is_a_copy_of_its_original(tmp_path: Path, *, sheet_first: bool) -> None:
    sheet, places = grid(4, 4, gap=6)
    alone = lesion(6)
    found, transforms = judge(tmp_path, *((sheet, alone) if sheet_first else (alone, sheet)))
    assert found["relation"].tolist() == ["copy"]
    planted = np.array([[1.0, 0, places[6][0]], [0, 1, places[6][1]], [0, 0, 1]])
    matrix = np.linalg.inv(planted) if sheet_first else planted
    assert np.abs(transforms[0].reshape(3, 3) - matrix).max() < 1


def test_what_collages_share_beside_their_images_merges_nothing(tmp_path: Path) -> None:
    card = lesion(50, width=110, height=HEIGHT)  # a colour chart, a doctor's portrait: the same beside other lesions
    found, _ = judge(tmp_path, np.hstack([lesion(1), card]), np.hstack([lesion(2), card]))
    assert found.empty


def test_a_panel_proposes_its_collage(tmp_path: Path) -> None:
    sheet, _ = grid(4, 4, gap=6, first=100)
    pictures = [lesion(seed) for seed in range(30)] + [lesion(106), sheet]
    store = ingest(tmp_path, {f"{i:02d}": png(picture) for i, picture in enumerate(pictures)})
    images = store.read(Images, "demo")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    features = extract_features(open_pixels(store, images), engine="local", scratch=scratch)
    assert np.bincount(features["images"]).tolist() == [1] * 31 + [17]
    proposed = propose(
        None,
        phash=np.random.default_rng(0).integers(0, 256, (len(pictures), 256), dtype=np.uint8),
        vectors=None,
        features=features,
        neighbours=1,
        reach=Reach(max_distance_bits=0, min_votes=8),
        engine="local",
        scratch=scratch,
    )
    (sources,) = proposed.loc[(proposed["a"] == 30) & (proposed["b"] == 31), "proposed_by"]
    assert "panel" in sources
