from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image

from pipeline.core.orientations import COUNT, orient
from pipeline.core.shards import decode
from pipeline.fingerprint.hashes import difference_hashes, perceptual_hashes, pixel_digest
from tests.drawn import lesion, png

HAM10000 = Path(__file__).parents[3] / "shared/data/ham10000/HAM10000_images_part_1.zip"
TURNED_MAX_BITS = 16  # resizing rounds each pass to 8 bits, and a turned picture passes in the other order

Array = np.ndarray[Any, Any]


def drawn() -> dict[str, Array]:
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


@pytest.mark.skipif(not HAM10000.exists(), reason="the real HAM10000 is not in ../shared/data")
def test_the_identity_hashes_are_those_of_imagehash_on_real_dermoscopy() -> None:
    with zipfile.ZipFile(HAM10000) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for name in names[::100]:
            expect_imagehash(decode(archive.read(name)))


@pytest.mark.parametrize("orientation", range(COUNT))
@pytest.mark.parametrize("name", ["lesion", "portrait", "large", "noise"])
def test_the_hash_of_an_orientation_is_that_of_the_turned_picture_up_to_rounding(name: str, orientation: int) -> None:
    image = drawn()[name]
    turned = Image.fromarray(np.ascontiguousarray(orient(image, orientation)))
    grey = Image.fromarray(image).convert("L")
    assert distance(perceptual_hashes(grey)[orientation], imagehash.phash(turned, hash_size=16)) <= TURNED_MAX_BITS
    assert distance(difference_hashes(grey)[orientation], imagehash.dhash(turned, hash_size=16)) <= TURNED_MAX_BITS


def test_the_orientations_of_a_picture_without_symmetry_have_different_hashes() -> None:
    grey = Image.fromarray(lesion(1)).convert("L")
    for hashes in (perceptual_hashes(grey), difference_hashes(grey)):
        bits = np.unpackbits(hashes, axis=1).astype(int)
        assert np.abs(bits[:, None] - bits[None]).sum(2)[~np.eye(COUNT, dtype=bool)].min() > 60


def test_the_pixel_digest_survives_another_file_format_and_sees_one_changed_pixel() -> None:
    image = lesion(1)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "BMP")
    assert pixel_digest(decode(buffer.getvalue())) == pixel_digest(decode(png(image)))
    changed = image.copy()
    changed[3, 4, 1] ^= 1
    assert pixel_digest(changed) != pixel_digest(image)


def test_the_pixel_digest_tells_shapes_apart() -> None:
    assert pixel_digest(np.zeros((2, 6, 3), np.uint8)) != pixel_digest(np.zeros((6, 2, 3), np.uint8))


def expect_imagehash(image: Array) -> None:
    picture = Image.fromarray(image)
    grey = picture.convert("L")
    assert distance(perceptual_hashes(grey)[0], imagehash.phash(picture, hash_size=16)) == 0
    assert distance(difference_hashes(grey)[0], imagehash.dhash(picture, hash_size=16)) == 0


def distance(packed: Array, expected: imagehash.ImageHash) -> int:
    return int((np.unpackbits(packed) != expected.hash.ravel()).sum())
