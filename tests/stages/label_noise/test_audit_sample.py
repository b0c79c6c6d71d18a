from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.stages.label_noise.audit_sample import count_errors, draw_sample

COUNT = 6000


def scored(rng: np.random.Generator, *, rate: float, trust: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw labels and error probabilities that are right where `trust` is 1, and say less the nearer it is to 0."""
    wrong = rng.random(COUNT) < rate
    odds = np.where(wrong, rng.normal(1.5, 2, COUNT), rng.normal(-4, 1.6, COUNT))
    return 1 / (1 + np.exp(-odds * trust)), wrong


@pytest.mark.parametrize(("rate", "trust"), [(0.1, 1.0), (0.1, 3.0), (0.03, 1.0), (0.2, 0.0)])
def test_the_interval_holds_the_truth_nearly_always_whatever_the_probabilities_are_worth(
    rate: float, trust: float
) -> None:
    covered, inside = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        probability, wrong = scored(rng, rate=rate, trust=trust)
        drawn = draw_sample(probability, count=300, strata=3, rng=rng)
        found = wrong[drawn.images]
        low, estimate, high = count_errors(drawn.stratum, found, sizes=drawn.sizes, confidence=0.95, rng=rng)
        covered += low <= wrong.sum() <= high
        inside += low <= estimate <= high
    assert covered >= 36
    assert inside == 40


def test_a_good_ranking_makes_the_interval_narrower_than_a_plain_sample_does() -> None:
    rng = np.random.default_rng(0)
    probability, wrong = scored(rng, rate=0.1, trust=1.0)
    widths = []
    for strata in (1, 3):
        drawn = draw_sample(probability, count=300, strata=strata, rng=rng)
        found = wrong[drawn.images]
        low, _, high = count_errors(drawn.stratum, found, sizes=drawn.sizes, confidence=0.95, rng=rng)
        widths.append(high - low)
    assert widths[1] < 0.85 * widths[0]


def test_a_sample_of_everything_knows_everything() -> None:
    rng = np.random.default_rng(0)
    probability, wrong = scored(rng, rate=0.1, trust=1.0)
    drawn = draw_sample(probability, count=2 * COUNT, strata=3, rng=rng)
    assert sorted(drawn.images) == list(range(COUNT))
    assert np.array_equal(np.bincount(drawn.stratum), drawn.sizes)
    found = count_errors(drawn.stratum, wrong[drawn.images], sizes=drawn.sizes, confidence=0.95, rng=rng)
    assert found == (wrong.sum(), wrong.sum(), wrong.sum())


@pytest.mark.parametrize("count", [1, 2, 7, 299])
def test_as_many_images_are_drawn_as_asked_and_none_twice(count: int) -> None:
    rng = np.random.default_rng(0)
    probability = np.repeat([0.0, 0.5, 1.0], [200, 90, 10])
    drawn = draw_sample(probability, count=count, strata=3, rng=rng)
    assert len(np.unique(drawn.images)) == count
    assert drawn.sizes.sum() == 300


def test_equal_probabilities_make_one_stratum() -> None:
    drawn = draw_sample(np.full(50, 0.2), count=10, strata=3, rng=np.random.default_rng(0))
    assert drawn.sizes.tolist() == [50]
