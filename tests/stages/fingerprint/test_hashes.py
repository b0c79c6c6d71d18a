from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path

import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.orientations import COUNT, orient
from pipeline.core.shards import decode
from pipeline.stages.fingerprint.as_pillow import to_grey
from pipeline.stages.fingerprint.hashes import perceptual_hashes, shrink
from tests.drawn import lesion

REAL = Path(__file__).parents[4] / "shared/data"
SAMPLED = {"ham10000/HAM10000_images_part_1.zip": 100, "dermnet12/dermnet12.zip": 90}  # each so-many-th picture
MIRRORED = (0, 2, 4, 6)  # the picture, and its mirror images: left to right, top to bottom, and both
TURNED_MAX_BITS = 16  # resizing rounds each pass to 8 bits, and a turned picture passes in the other order


@lru_cache(maxsize=1)
def drawn() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    ramp = np.arange(90, dtype=np.uint8)
    return {
        "lesion": lesion(1),
        "portrait": lesion(2, width=91, height=140),
        "large": lesion(3, width=700, height=500),
        "tiny": lesion(4, width=9, height=7),
        "noise": rng.integers(0, 256, (60, 80, 3), dtype=np.uint8),
        "symmetric": np.dstack([np.minimum.outer(ramp, ramp[::-1])] * 3),
        "blank": np.full((50, 60, 3), 128, np.uint8),
        "black": np.zeros((50, 60, 3), np.uint8),
    }


@pytest.mark.parametrize("name", drawn())
def test_the_identity_hashes_are_those_of_imagehash_bit_for_bit(name: str) -> None:
    expect_imagehash(drawn()[name])


@pytest.mark.parametrize("archive", SAMPLED)
def test_the_identity_hashes_are_those_of_imagehash_on_real_pictures(archive: str) -> None:
    if not (REAL / archive).exists():
        pytest.skip(f"there is no {archive} in ../shared/data")
    with zipfile.ZipFile(REAL / archive) as pictures:
        names = sorted(name for name in pictures.namelist() if name.endswith(".jpg"))
        for name in names[:: SAMPLED[archive]]:
            expect_imagehash(decode(pictures.read(name)))


@pytest.mark.parametrize("orientation", range(COUNT))
@pytest.mark.parametrize("name", ["lesion", "portrait", "large", "noise"])
def test_the_hash_of_an_orientation_is_that_of_the_turned_picture(name: str, orientation: int) -> None:
    image = drawn()[name]
    turned = Image.fromarray(np.ascontiguousarray(orient(image, orientation)))
    allowed = 0 if orientation in MIRRORED else TURNED_MAX_BITS
    assert distance(phash(image)[orientation], imagehash.phash(turned, hash_size=16)) <= allowed


def test_the_orientations_of_a_picture_without_symmetry_have_different_hashes() -> None:
    bits = np.unpackbits(phash(lesion(1)), axis=1).astype(int)
    assert np.abs(bits[:, None] - bits[None]).sum(2)[~np.eye(COUNT, dtype=bool)].min() > 60


def test_pictures_hashed_together_have_the_hashes_that_each_has_alone() -> None:
    images = list(drawn().values())
    together = np.concatenate([shrink([to_grey(image)]) for image in images], axis=1)
    assert (perceptual_hashes(together) == np.stack([phash(image) for image in images])).all()


def phash(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    hashes: NDArray[np.uint8] = perceptual_hashes(shrink([to_grey(image)]))[0]
    return hashes


def expect_imagehash(image: NDArray[np.uint8]) -> None:
    assert distance(phash(image)[0], imagehash.phash(Image.fromarray(image), hash_size=16)) == 0


def distance(packed: NDArray[np.uint8], expected: imagehash.ImageHash) -> int:
    return int((np.unpackbits(packed) != expected.hash.ravel()).sum())
