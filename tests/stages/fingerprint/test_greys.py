from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.shards import decode
from pipeline.stages.fingerprint.as_pillow import to_grey
from pipeline.stages.fingerprint.greys import read_grey, reduction
from pipeline.stages.fingerprint.hashes import perceptual_hashes, shrink
from pipeline.stages.fingerprint.quality import measure
from tests.drawn import jpeg, lesion, png

REAL = Path(__file__).parents[4] / "shared/data"
SAMPLED = {"ham10000/HAM10000_images_part_1.zip": 100, "dermnet12/dermnet12.zip": 30}  # each so-many-th picture
SIZES = {(200, 150): 1, (333, 511): 1, (640, 427): 2, (1031, 800): 4, (2100, 2048): 8, (5000, 100): 1}
MOVED_MEAN_BITS, MOVED_MAX_BITS = 2, 12  # of 256 on real pictures, by decoding luma only and no more than is needed


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def by_pillow(content: bytes) -> Image.Image:
    """Open a JPEG as others can who want the same hashes."""
    image = Image.open(io.BytesIO(content))
    by = reduction(image.height, image.width)
    image.draft("L", (image.width // by, image.height // by))
    return image


def phash(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bits of the hash of the image as it is."""
    return np.unpackbits(perceptual_hashes(shrink([levels]))[0, 0])


def real(archive: str) -> Iterator[bytes]:
    if not (REAL / archive).exists():
        pytest.skip(f"there is no {archive} in ../shared/data")
    with zipfile.ZipFile(REAL / archive) as pictures:
        names = sorted(name for name in pictures.namelist() if name.endswith(".jpg"))
        yield from (pictures.read(name) for name in names[:: SAMPLED[archive]])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_of_a_jpeg_the_luma_is_decoded_as_far_as_it_is_needed(size: tuple[int, int], options: dict[str, Any]) -> None:
    width, height = size
    content = encoded(Image.fromarray(lesion(1, width=width, height=height)), **options)
    grey = read_grey(content)
    assert reduction(height, width) == SIZES[size]
    assert (grey.width, grey.height) == size
    assert grey.levels.shape == tuple(-(-length // SIZES[size]) for length in (height, width))
    assert (grey.levels == np.asarray(by_pillow(content))).all()


def test_nothing_is_reduced_below_what_is_measured() -> None:
    for height, width in ((511, 511), (512, 127), (1023, 1023), (90_000, 63)):
        by = reduction(height, width)
        assert by == 1 or (max(height, width) // by >= 256 and min(height, width) // by >= 64)
        assert max(height, width) // (2 * by) < 256 or min(height, width) // (2 * by) < 64


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_is_no_jpeg_is_decoded_in_full(mode: str) -> None:
    image = Image.fromarray(lesion(1, width=700, height=500)).convert(mode)
    grey = read_grey(png(np.asarray(image)))
    assert (grey.levels == np.asarray(image.convert("L"))).all()
    assert (grey.height, grey.width) == (500, 700)


def test_a_grey_jpeg_is_decoded_as_it_is() -> None:
    content = encoded(Image.fromarray(lesion(1)).convert("L"))
    assert (read_grey(content).levels == np.asarray(Image.open(io.BytesIO(content)))).all()


def test_a_jpeg_whose_size_is_not_found_is_decoded_in_full() -> None:
    content = jpeg(lesion(1, width=700, height=500))
    filled = content[:2] + b"\xff" + content[2:]  # a marker may begin with more than one such byte
    assert read_grey(filled).levels.shape == (500, 700)


def test_a_jpeg_whose_size_is_misread_is_decoded_in_full() -> None:
    content = jpeg(lesion(1, width=700, height=500))
    payload = bytearray(60_000)
    segment = b"\xff\xff\xe5" + (len(payload) + 2).to_bytes(2)
    misread = 2 + 2 + int.from_bytes(segment[2:4])  # where a length that is read one byte too early leads to
    place = misread - 2 - len(segment)
    payload[place : place + 9] = b"\xff\xc0\0\x11\x08\x08\0\x08\0"
    grey = read_grey(content[:2] + segment + bytes(payload) + content[2:])
    assert (grey.levels.shape, grey.height, grey.width) == ((500, 700), 500, 700)


@pytest.mark.parametrize("archive", SAMPLED)
def test_the_hashes_of_real_jpegs_are_those_of_imagehash_after_pillows_draft(archive: str) -> None:
    for content in real(archive):
        expected = imagehash.phash(by_pillow(content), hash_size=16).hash.ravel()
        assert (phash(read_grey(content).levels) == expected).all()


def moved_bits(contents: Iterator[bytes]) -> NDArray[np.int64]:
    """Count the bits, (images,), that differ from the hash of the same pixels in another format: decoded in full."""
    moved = []
    for content in contents:
        copy = read_grey(png(decode(content))).levels
        assert (copy == to_grey(decode(content))).all()
        moved.append(int((phash(read_grey(content).levels) != phash(copy)).sum()))
    return np.array(moved)


@pytest.mark.parametrize("size", [(640, 480), (1200, 900)], ids=str)
def test_a_drawn_jpeg_is_a_few_bits_from_its_pixels_in_another_format(size: tuple[int, int]) -> None:
    width, height = size
    moved = moved_bits(jpeg(lesion(seed, width=width, height=height)) for seed in range(4))
    assert 0 < moved.max() <= MOVED_MAX_BITS


@pytest.mark.parametrize("archive", SAMPLED)
def test_a_real_jpeg_is_a_few_bits_from_its_pixels_in_another_format(archive: str) -> None:
    moved = moved_bits(real(archive))
    assert moved.mean() <= MOVED_MEAN_BITS
    assert moved.max() <= MOVED_MAX_BITS


def test_scores_of_a_reduced_jpeg_are_those_of_its_pixels_in_another_format() -> None:
    content = jpeg(lesion(1, width=1200, height=900))
    greys = [read_grey(content), read_grey(png(decode(content)))]
    assert greys[0].levels.shape != greys[1].levels.shape
    (reduced,), (full,) = (measure([grey], shrink([grey.levels])) for grey in greys)
    assert reduced == pytest.approx(full, rel=0.1, abs=0.01)
