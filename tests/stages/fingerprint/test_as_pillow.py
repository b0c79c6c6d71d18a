from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.stages.fingerprint.as_pillow import STRIP, resize, to_grey

TARGETS = [(64, 64), (17, 16)]  # width and height: what pHash compares, and an oblong
SIZES = {
    "dermoscopy": (200, 150),
    "photograph": (640, 427),
    "portrait": (91, 140),
    "one that Pillow resizes rows first": (60, 300),
    "the last that Pillow resizes columns first": (100, 136),
    "the first that it does not": (100, 137),
    "wide": (1000, 33),
    "narrow": (3, 400),
    "of the target's width": (64, 300),
    "of the target's size": (64, 64),
    "enlarged": (9, 7),
    "one pixel": (1, 1),
    "in strips": (1450, 1450),
}


def noise(width: int, height: int) -> NDArray[np.uint8]:
    """Draw levels that include sharp edges between black and white, where a Lanczos kernel leaves the range."""
    rng = np.random.default_rng(0)
    levels = rng.integers(-200, 456, (height, width))
    return np.clip(levels, 0, 255).astype(np.uint8)


def by_pillow(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS))


def resized(greys: list[NDArray[np.uint8]], width: int, height: int) -> NDArray[np.uint8]:
    """Resize; the result is (images, height, width)."""
    return np.moveaxis(resize(np.stack(greys, axis=1), width=width, height=height), 1, 0)


def test_grey_is_pillows_for_every_green_and_blue_and_many_reds() -> None:
    red, green, blue = np.meshgrid(np.arange(0, 256, 17), np.arange(256), np.arange(256), indexing="ij")
    colours = np.stack([red, green, blue], axis=-1).astype(np.uint8).reshape(1024, -1, 3)
    assert (to_grey(colours) == np.asarray(Image.fromarray(colours).convert("L"))).all()


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_an_image_is_resized_as_by_pillow(name: str, target: tuple[int, int]) -> None:
    grey = noise(*SIZES[name])
    (small,) = resized([grey], *target)
    assert (small == by_pillow(grey, *target)).all()


def test_some_images_at_once_are_resized_as_one_by_one() -> None:
    greys = [noise(200, 150), noise(200, 150)[::-1], noise(200, 150)[:, ::-1]]
    for target in TARGETS:
        alone = [resized([grey], *target) for grey in greys]
        assert (resized(greys, *target) == np.concatenate(alone)).all()


def test_one_of_the_sizes_needs_strips() -> None:
    assert max(width * height for width, height in SIZES.values()) > STRIP
