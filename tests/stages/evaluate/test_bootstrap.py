from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.stages.evaluate import bootstrap
from pipeline.stages.evaluate.bootstrap import Estimate
from pipeline.stages.evaluate.summary import gains


def share(hit: NDArray[np.bool_]) -> bootstrap.Metrics:
    return lambda weights: {"accuracy": weights @ hit / weights.sum(1)}


def test_groups_are_drawn_whole() -> None:
    group_of = np.array([0, 0, 1, 2, 2, 2])
    seen: list[NDArray[np.float64]] = []

    def look(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        seen.append(weights)
        return {"images": weights.sum(1)}

    bootstrap.estimate(look, group_of, bootstrap.draw_groups(3, 200, np.random.default_rng(0)))
    weights = np.concatenate(seen[1:])
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()
    assert weights.sum(1).std() > 0


def test_the_figure_itself_is_that_of_the_images_as_they_are() -> None:
    draws = bootstrap.draw_groups(4, 10, np.random.default_rng(0))
    found = bootstrap.estimate(share(np.array([1.0, 0, 0, 0])), np.arange(4), draws)
    assert found["accuracy"].value == 0.25


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = bootstrap.draw_groups(30, 50, np.random.default_rng(0))
    hit, groups = np.random.default_rng(1).integers(0, 2, 90).astype(float), np.arange(90) // 3
    whole = bootstrap.estimate(share(hit), groups, draws)["accuracy"].draws
    monkeypatch.setattr(bootstrap, "MAX_CELLS", 200)
    assert (bootstrap.estimate(share(hit), groups, draws)["accuracy"].draws == whole).all()


def trial(seed: int, *, by_group: bool) -> bool:
    """Say whether a 90% interval holds the true accuracy of .7, where the 5 images of a group share their fate."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(100), 5)
    hit = (rng.random(100) < 0.7)[groups].astype(float)
    unit = groups if by_group else np.arange(500)
    draws = bootstrap.draw_groups(int(unit.max()) + 1, 200, rng)
    low, high = bootstrap.estimate(share(hit), unit, draws)["accuracy"].interval(0.9)
    return low <= 0.7 <= high


def test_intervals_over_groups_hold_the_truth_as_often_as_they_say() -> None:
    assert np.mean([trial(seed, by_group=True) for seed in range(200)]) == pytest.approx(0.9, abs=0.05)


def test_intervals_over_images_would_be_too_narrow() -> None:
    assert np.mean([trial(seed, by_group=False) for seed in range(50)]) < 0.75


def test_resamples_without_a_figure_are_left_out_of_the_interval() -> None:
    assert Estimate(0.5, np.array([0.4, np.nan, 0.6])).interval(0.5) == pytest.approx((0.45, 0.55))
    assert np.isnan(Estimate(np.nan, np.array([np.nan])).interval(0.5)).all()


def test_the_gain_is_paired() -> None:
    rng = np.random.default_rng(0)
    hit, draws = rng.integers(0, 2, 400).astype(float), bootstrap.draw_groups(400, 500, rng)
    better = hit.copy()
    better[np.flatnonzero(hit == 0)[:8]] = 1  # eight images more, and none less
    raw, curated = (bootstrap.estimate(share(h), np.arange(400), draws) for h in (hit, better))
    gain = gains({"raw": raw, "curated": curated})["curated_over_raw"]["accuracy"]
    assert gain.value == pytest.approx(0.02)
    low, high = gain.interval(0.95)
    assert 0 < low < 0.02 < high < 0.04
    assert bootstrap.two_sided_p(gain) < 0.01
    alone = curated["accuracy"].interval(0.95)
    assert alone[1] - alone[0] > 3 * (high - low)


def test_no_difference_has_p_one_and_p_is_never_zero() -> None:
    assert bootstrap.two_sided_p(Estimate(0.0, np.zeros(99))) == 1
    assert bootstrap.two_sided_p(Estimate(1.0, np.ones(99))) == pytest.approx(0.02)


def test_without_a_raw_arm_there_is_no_gain() -> None:
    assert gains({"curated": {"accuracy": Estimate(1.0, np.ones(2))}}) == {}


def test_seeds_are_averaged_draw_by_draw() -> None:
    found = bootstrap.mean([Estimate(0.2, np.array([0.1, 0.3])), Estimate(0.4, np.array([0.5, 0.3]))])
    assert found.value == pytest.approx(0.3)
    assert found.draws == pytest.approx([0.3, 0.3])
