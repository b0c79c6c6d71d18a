from __future__ import annotations

import numpy as np
import pytest

from pipeline.label_noise.neighbours import radius_in_train
from pipeline.label_noise.off_topic import off_topic
from tests.label_noise.planted import Array, add_copies, world


def scores_with_strays(strays: int, *, seed: int, spread: float = 1.0) -> Array:
    planted = world(seed, lesions=600, spread=0.1)
    if strays:
        planted = add_copies(planted, np.arange(strays), np.zeros(strays, int))
        rng = np.random.default_rng(seed + 1000)  # the world's own seed would draw its centres again
        planted.labelled.vectors[-strays:] = rng.normal(0, 1, planted.labelled.vectors.shape[1]) + rng.normal(
            0, spread, (strays, planted.labelled.vectors.shape[1])
        )
        planted.labelled.vectors[-strays:] /= np.linalg.norm(planted.labelled.vectors[-strays:], axis=1)[:, None]
        planted.labelled.group[-strays:] = planted.labelled.group.max() + 1 + np.arange(strays)
        planted.labelled.voter[-strays:] = True
    radius = radius_in_train(planted.labelled, 0.1)
    return off_topic(radius, radius[planted.labelled.voter])


@pytest.mark.parametrize("spread", [2.0, 0.05], ids=["strewn", "crowded"])
def test_planted_strays_rank_first_and_near_one(spread: float) -> None:
    found = scores_with_strays(20, seed=3, spread=spread)
    assert (np.argsort(-found)[:20] >= len(found) - 20).mean() >= 0.9
    assert np.median(found[-20:]) > 0.99


def test_a_crowd_of_a_thirteenth_ranks_first_too() -> None:
    found = scores_with_strays(100, seed=3, spread=0.05)
    assert (np.argsort(-found)[:100] >= len(found) - 100).all()


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_accused_where_everything_belongs(seed: int) -> None:
    found = scores_with_strays(0, seed=seed)
    assert (found > 0.99).sum() <= 1
    assert np.median(found) < 0.05


def test_equal_images_are_typical_and_another_one_is_not() -> None:
    assert np.array_equal(off_topic(np.array([0.0, 0.5]), np.zeros(9)), [0, 1])


def test_an_image_without_other_groups_is_not_accused() -> None:
    labelled = world(0, lesions=1, test_share=0.0).labelled
    assert np.array_equal(radius_in_train(labelled, 0.1), np.zeros(len(labelled.given)))
