from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.stages.rebalance.arms import class_weights, image_weights
from pipeline.stages.rebalance.params import Weights

SIZES = pd.Series({"melanoma": 10.0, "nevus": 1000.0})


def scheme(name: str, *, beta: float = 0.99, max_ratio: float = 1e9) -> Weights:
    return Weights.model_validate({"scheme": name, "beta": beta, "max_ratio": max_ratio})


def ratio(weights: Weights) -> float:
    found = class_weights(SIZES, weights)
    return float(found["melanoma"] / found["nevus"])


def test_inverse_weights_make_classes_count_alike() -> None:
    assert ratio(scheme("inverse")) == pytest.approx(100)


def test_no_scheme_weighs_all_alike() -> None:
    assert ratio(scheme("none")) == 1


def test_effective_numbers_follow_their_formula() -> None:
    assert ratio(scheme("effective_number", beta=0.9)) == pytest.approx((1 - 0.9**1000) / (1 - 0.9**10))


def test_effective_numbers_lie_between_no_scheme_and_inverse_frequency() -> None:
    assert 1 < ratio(scheme("effective_number")) < 100
    assert ratio(scheme("effective_number", beta=1 - 1e-12)) == pytest.approx(100, rel=1e-3)


def test_the_ratio_is_capped() -> None:
    assert ratio(scheme("inverse", max_ratio=7.0)) == pytest.approx(7)


def test_image_weights_have_mean_one_and_keep_their_factors() -> None:
    diagnoses = pd.Series(["nevus"] * 30 + ["melanoma"] * 3)
    factors = pd.Series([0.5] + [1.0] * 32)
    weights = image_weights(diagnoses, factors, scheme("inverse"))
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(weights[1] / 2)
    assert np.isclose(weights[diagnoses == "nevus"].sum(), weights[diagnoses == "melanoma"].sum())
