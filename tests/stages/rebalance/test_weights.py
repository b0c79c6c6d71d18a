from __future__ import annotations

import numpy as np
import pytest

from pipeline.stages.rebalance.balance import SAMPLERS, balance_classes
from pipeline.stages.rebalance.params import Balance

SIZES = (10, 1000)
TARGET = np.repeat(np.eye(2), SIZES, axis=0)
ONES = np.ones(len(TARGET))


def policy(name: str, *, beta: float = 0.99, max_ratio: float = 1e9) -> Balance:
    return Balance.model_validate({"policy": name, "beta": beta, "max_ratio": max_ratio})


def ratio(balance: Balance) -> float:
    """What the rare class counts for, by weight or draws, beside the frequent one."""
    weights, draws = balance_classes(TARGET, ONES, balance)
    counts = weights * draws
    return float(counts[0] / counts[-1])


@pytest.mark.parametrize("name", ["class_weights", "oversample", "undersample"])
def test_classes_count_alike(name: str) -> None:
    assert ratio(policy(name)) == pytest.approx(100)


def test_no_policy_counts_all_alike() -> None:
    weights, draws = balance_classes(TARGET, ONES, policy("none"))
    assert (weights == 1).all()
    assert (draws == 1).all()


def test_the_square_root_lies_half_way() -> None:
    assert ratio(policy("square_root")) == pytest.approx(10)


def test_effective_numbers_follow_their_formula() -> None:
    assert ratio(policy("effective_number", beta=0.9)) == pytest.approx((1 - 0.9**1000) / (1 - 0.9**10))


def test_effective_numbers_lie_between_no_policy_and_inverse_frequency() -> None:
    assert 1 < ratio(policy("effective_number")) < 100
    assert ratio(policy("effective_number", beta=1 - 1e-12)) == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("name", ["class_weights", "effective_number", "oversample", "undersample", "square_root"])
def test_the_ratio_is_capped(name: str) -> None:
    assert ratio(policy(name, max_ratio=7.0)) == pytest.approx(7)


def test_samplers_say_how_long_an_epoch_is() -> None:
    """Each image of the largest class once, each of the smallest once, and as many as there are."""
    long = {name: balance_classes(TARGET, ONES, policy(name))[1] for name in SAMPLERS}
    assert long["oversample"][-1] == pytest.approx(1)
    assert long["oversample"].sum() == pytest.approx(2 * 1000)
    assert long["undersample"][0] == pytest.approx(1)
    assert long["undersample"].sum() == pytest.approx(2 * 10)
    assert long["square_root"].sum() == pytest.approx(len(TARGET))


@pytest.mark.parametrize("name", ["none", "class_weights", "oversample", "undersample", "square_root"])
def test_weights_have_mean_one_over_an_epoch_and_keep_their_factors(name: str) -> None:
    factors = ONES.copy()
    factors[-1] = 0.5
    weights, draws = balance_classes(TARGET, factors, policy(name))
    assert (weights * draws).sum() / draws.sum() == pytest.approx(1)
    assert weights[-1] == pytest.approx(weights[-2] / 2)


def test_a_shared_label_counts_in_parts() -> None:
    target = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    weights, _ = balance_classes(target, np.ones(3), policy("class_weights"))
    assert weights == pytest.approx([1, 1, 1])
    target[2] = [0.0, 1.0]
    weights, _ = balance_classes(target, np.ones(3), policy("class_weights"))
    assert weights[0] == pytest.approx(2 * weights[1])


def test_a_class_that_train_lacks_has_no_part_in_it() -> None:
    with_third = np.hstack([TARGET, np.zeros((len(TARGET), 1))])
    for name in ("class_weights", "oversample", "undersample", "square_root"):
        for found, expected in zip(
            balance_classes(with_third, ONES, policy(name)), balance_classes(TARGET, ONES, policy(name)), strict=True
        ):
            assert found == pytest.approx(expected)
