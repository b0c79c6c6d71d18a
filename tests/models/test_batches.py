from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL.Image import Resampling

from pipeline.models import batches
from pipeline.models.batches import AUGMENTATIONS, Augmentation, ImageSet, augment, load_images
from pipeline.models.members import Preprocessing
from pipeline.stages.ingest.tables import Images, open_pixels
from tests import drawn

PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), Resampling.BICUBIC)
TURNS = Augmentation(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)  # mirror images and quarter turns alone
CROPS = Augmentation(0.5, 1.3, 0.0, 0.0, 0.0, 0.0)
CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_whole_picture_is_squeezed_into_the_square(tmp_path: Path) -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :40, 0] = 200  # the left half is red
    store = drawn.ingest(tmp_path, {"a": drawn.png(image)})
    pixels = open_pixels(store, store.read(Images, "demo"))
    found = load_images(pixels, 16, PLAIN, scratch=tmp_path, label="train")
    assert found.shape == (1, 16, 16, 3)
    assert (found[0, :, :6] == [200, 0, 0]).all()
    assert (found[0, :, 10:] == 0).all()


def test_many_pictures_live_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = drawn.ingest(tmp_path, {name: drawn.png(drawn.lesion(seed)) for seed, name in enumerate("abc")})
    pixels = open_pixels(store, store.read(Images, "demo"))
    whole = load_images(pixels, 16, PLAIN, scratch=tmp_path, label="train")
    monkeypatch.setattr(batches, "MAX_BYTES_IN_MEMORY", 100)
    paged = load_images(pixels, 16, PLAIN, scratch=tmp_path, label="train")
    assert isinstance(paged, np.memmap)
    assert (paged == whole).all()


def test_without_a_generator_pictures_are_as_they_are() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    images = ImageSet(stored, 8, PLAIN, AUGMENTATIONS["strong"], CPU)
    found = images(torch.tensor([2, 0]))
    expected = (stored[[2, 0]].transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25
    assert found.numpy() == pytest.approx(expected, abs=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_some_are_taken_without_copying_and_of_these_some_again() -> None:
    stored = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    some = ImageSet(stored, 8, PLAIN, None, CPU).take(np.array([5, 3, 1]))
    fewer = some.take(np.array([2, 0]))
    assert (len(some), len(fewer)) == (3, 2)
    assert fewer.stored is stored
    every = ImageSet(stored, 8, PLAIN, None, CPU)
    assert torch.equal(fewer(torch.arange(2)), every(torch.tensor([1, 5])))


def test_turns_and_mirror_images_are_the_eight_of_the_square() -> None:
    image = torch.rand(3, 6, 6, generator=generator())
    eight = [torch.rot90(p, k, (1, 2)) for p in (image, image.flip(2)) for k in range(4)]
    found = augment(image.expand(64, 3, 6, 6), TURNS, side=6, generator=generator())
    nearest = [min(range(8), key=lambda i: float((one - eight[i]).abs().max())) for one in found]
    assert set(nearest) == set(range(8))
    assert max(float((one - eight[i]).abs().max()) for one, i in zip(found, nearest, strict=True)) < 1e-4


def test_a_crop_shows_part_of_the_picture_and_no_less_than_its_bound() -> None:
    """Of a picture whose red and green say where a pixel lies, the corners of a crop say what it shows."""
    place = torch.linspace(0, 1, 200)
    image = torch.stack([place.expand(200, 200), place.expand(200, 200).T, torch.zeros(200, 200)])
    found = augment(image.expand(300, 3, 200, 200), CROPS, side=100, generator=generator())
    first, last = found[:, :2, 0, 0], found[:, :2, -1, -1]
    area = (first - last).abs().prod(1)
    assert CROPS.min_area - 0.05 < float(area.min()) < CROPS.min_area + 0.05
    assert 0.9 < float(area.max()) <= 1
    assert len({tuple(corner) for corner in (first * 20).round().int().tolist()}) > 100


def test_an_odd_turn_fills_its_corners_with_the_picture() -> None:
    turned = Augmentation(1.0, 1.0, 45.0, 0.0, 0.0, 0.0)
    found = augment(torch.full((20, 3, 16, 16), 0.7), turned, side=16, generator=generator())
    assert found == pytest.approx(torch.full_like(found, 0.7), abs=1e-4)


def test_colours_change_within_their_bounds() -> None:
    grey = torch.full((200, 3, 4, 4), 0.5)
    found = augment(grey, Augmentation(1.0, 1.0, 0.0, 0.2, 0.0, 0.0), side=4, generator=generator())
    assert 0.4 <= float(found.min()) < 0.41
    assert 0.59 < float(found.max()) <= 0.6


def test_every_picture_of_a_batch_is_changed_in_its_own_way() -> None:
    stored = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 9, 9, 3), np.uint8), 6, axis=0)
    found = ImageSet(stored, 8, PLAIN, AUGMENTATIONS["light"], CPU)(torch.arange(6), generator())
    assert len({one.numpy().tobytes() for one in found}) == 6


def test_augmentation_leaves_the_generator_that_others_draw_from() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), np.uint8)
    before = torch.get_rng_state()
    ImageSet(stored, 8, PLAIN, AUGMENTATIONS["strong"], CPU)(torch.arange(4), generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_follows_from_the_generator() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), np.uint8)
    images = ImageSet(stored, 8, PLAIN, AUGMENTATIONS["strong"], CPU)
    rows = torch.arange(4)
    first, again, other = (images(rows, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
