from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench.duplicates.kinds import ALL, PLAIN, SELFCLEAN_ARTE, SET_ASIDE, TUNING, plant, takes_other
from bench.duplicates.kinds.views import turned
from pipeline.core.shards import decode
from pipeline.stages.ingest.normalise import normalise
from tests.drawn import jpeg, lesion

ORIGINAL, OTHER = jpeg(lesion(1)), jpeg(lesion(2))

NO_PARAMETERS = {"same_bytes", "lossless", "selfclean_colour_bar", "selfclean_mosaic"}


def planted(kind: str, seed: int) -> bytes:
    return plant(kind, ORIGINAL, np.random.default_rng(seed), other=OTHER if takes_other(kind) else None)


def test_there_are_more_than_twenty_kinds_and_five_of_them_are_set_aside() -> None:
    assert len(TUNING) >= 20
    assert len(SET_ASIDE) == 5
    assert not set(TUNING) & set(SET_ASIDE)
    assert set(ALL) == {*TUNING, *SET_ASIDE}


@pytest.mark.parametrize("kind", [*ALL, SELFCLEAN_ARTE])
def test_every_kind_yields_a_picture_that_ingest_accepts_and_a_seed_repeats(kind: str) -> None:
    content = planted(kind, 5)
    assert content == planted(kind, 5)
    stored = normalise(content, max_pixels=10_000_000)
    assert min(stored.width, stored.height) >= 32
    assert np.ptp(decode(stored.content)) > 50


@pytest.mark.parametrize("kind", sorted({*ALL, SELFCLEAN_ARTE} - NO_PARAMETERS))
def test_every_kind_draws_its_parameters(kind: str) -> None:
    assert len({planted(kind, seed) for seed in range(6)}) > 1  # a turn by quarters has three outcomes


def test_a_lossless_copy_has_the_same_pixels_and_other_bytes() -> None:
    copied = planted("lossless", 0)
    assert copied != ORIGINAL
    np.testing.assert_array_equal(decode(copied), decode(ORIGINAL))


def test_a_turn_that_exif_undoes_shows_the_original_upright() -> None:
    copied = planted("exif_turned", 3)
    with Image.open(io.BytesIO(copied)) as image:
        assert image.getexif()[0x0112] in {3, 6, 8}
    upright = decode(normalise(copied, max_pixels=10_000_000).content).astype(float)
    assert np.abs(upright - decode(ORIGINAL)).mean() < 5


def test_a_turn_without_filling_shows_nothing_but_picture() -> None:
    white = np.full((150, 200, 3), 255, np.uint8)
    for degrees in (10, 45, 100, 200):
        assert turned(white, degrees, fill=None)[2:-2, 2:-2].min() > 250


@pytest.mark.parametrize("kind", PLAIN)
def test_no_kind_changes_the_picture_that_it_is_given(kind: str) -> None:
    original = decode(ORIGINAL)
    PLAIN[kind](original, np.random.default_rng(1))
    np.testing.assert_array_equal(original, decode(ORIGINAL))
