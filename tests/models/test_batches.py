from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL.Image import Resampling

from pipeline.models import batches
from pipeline.models.batches import AUGMENTATIONS, Augmentation, ImageSet, augment, crops, load_images
from pipeline.models.members import Preprocessing
from pipeline.stages.ingest.tables import Images, open_pixels
from tests import drawn

PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), Resampling.BICUBIC)
TURNS = Augmentation(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)  # mirror images and quarter turns alone
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


@pytest.mark.parametrize("name", ["light", "strong"])
def test_a_crop_stays_inside_the_picture_but_for_the_odd_turn(name: str) -> None:
    bounds = AUGMENTATIONS[name]
    assert bounds is not None
    maps = crops(500, Augmentation(bounds.min_area, bounds.max_aspect, 0, 0, 0, 0), generator())
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)])
    assert float((maps @ corners.T).abs().max()) <= 1 + 1e-5
    area = torch.linalg.det(maps[:, :, :2]).abs()
    assert bounds.min_area * 0.95 < float(area.min()) < bounds.min_area + 0.05
    assert 0.9 < float(area.max()) <= 1 + 1e-5


def test_colours_change_within_their_bounds() -> None:
    grey = torch.full((200, 3, 4, 4), 0.5)
    found = augment(grey, Augmentation(1.0, 1.0, 0.0, 0.2, 0.0, 0.0), side=4, generator=generator())
    assert 0.4 <= float(found.min()) < 0.41
    assert 0.59 < float(found.max()) <= 0.6


def test_augmentation_follows_from_the_generator() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), np.uint8)
    images = ImageSet(stored, 8, PLAIN, AUGMENTATIONS["strong"], CPU)
    rows = torch.arange(4)
    first, again, other = (images(rows, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
