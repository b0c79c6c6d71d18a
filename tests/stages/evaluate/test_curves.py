from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from pipeline.stages.evaluate import curves


def test_roc_keeps_only_corners_and_all_of_the_area() -> None:
    rng = np.random.default_rng(0)
    actual = rng.integers(0, 2, 80)
    score = np.round(rng.random(80) * 0.6 + actual * 0.3, 2)
    found = curves.roc(np.stack([1 - score, score], 1), actual, ["a", "b"], points=1000)
    curve = found.loc[found["diagnosis"] == "b", ["false_positive_rate", "true_positive_rate"]].to_numpy()
    false, true, _ = roc_curve(actual, score, drop_intermediate=False)
    assert len(curve) < len(false)
    assert {tuple(point) for point in curve} <= set(zip(false, true, strict=True))
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(roc_auc_score(actual, score))


def test_a_thinned_roc_keeps_its_ends_and_its_area() -> None:
    rng = np.random.default_rng(1)
    actual = rng.integers(0, 2, 5000)
    score = rng.normal(actual)
    found = curves.roc(np.stack([-score, score], 1), actual, ["a", "b"], points=100)
    curve = found[found["diagnosis"] == "b"]
    assert len(curve) <= 100
    assert curve.iloc[0, :2].tolist() == [0, 0]
    assert curve.iloc[-1, :2].tolist() == [1, 1]
    area = np.trapezoid(curve["true_positive_rate"].to_numpy(), curve["false_positive_rate"].to_numpy())
    assert area == pytest.approx(roc_auc_score(actual, score), abs=0.002)


def test_a_class_without_images_has_no_roc() -> None:
    found = curves.roc(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), np.array([0, 1]), ["a", "b", "c"], points=10)
    assert sorted(found["diagnosis"].unique()) == ["a", "b"]


def test_calibration_counts_every_image_once() -> None:
    probabilities = np.array([[0.95, 0.05], [0.93, 0.07], [0.4, 0.6], [0.35, 0.65]])
    found = curves.calibration(probabilities, np.array([0, 1, 1, 1]), bins=10)
    assert found["count"].tolist() == [1, 1, 2]
    assert found["confidence"].tolist() == pytest.approx([0.6, 0.65, 0.94])
    assert found["accuracy"].tolist() == pytest.approx([1, 1, 0.5])


def test_confusion_names_each_image() -> None:
    found = curves.confusion(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([0, 0]), ["nevus", "wart"])
    assert found.to_numpy().tolist() == [["nevus", "wart"], ["nevus", "nevus"]]
