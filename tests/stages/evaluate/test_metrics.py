from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as oracle

from pipeline.stages.evaluate import metrics

CLASSES = 4


def planted(
    seed: int, *, images: int = 300, absent: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Probabilities with ties, classes and uneven weights of two weightings."""
    rng = np.random.default_rng(seed)
    actual = rng.choice([k for k in range(CLASSES) if k != absent], images, p=None)
    logits = rng.normal(size=(images, CLASSES)) + 1.5 * (actual[:, None] == np.arange(CLASSES))
    probabilities = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 2) + 0.001
    return probabilities / probabilities.sum(1, keepdims=True), actual, rng.integers(0, 4, (2, images)).astype(float)


def macro_auroc(probabilities: NDArray[np.float64], actual: NDArray[np.int64], weight: NDArray[np.float64]) -> float:
    seen = np.unique(actual)
    return float(np.mean([oracle.roc_auc_score(actual == k, probabilities[:, k], sample_weight=weight) for k in seen]))


ORACLES: dict[str, Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], float]] = {
    "accuracy": lambda p, a, w: float(oracle.accuracy_score(a, p.argmax(1), sample_weight=w)),
    "balanced_accuracy": lambda p, a, w: float(oracle.recall_score(a, p.argmax(1), average="macro", sample_weight=w)),
    "macro_auroc": macro_auroc,
    "macro_average_precision": lambda p, a, w: float(
        np.mean([oracle.average_precision_score(a == k, p[:, k], sample_weight=w) for k in np.unique(a)])
    ),
    "log_loss": lambda p, a, w: float(oracle.log_loss(a, p, sample_weight=w, labels=range(CLASSES))),
}


@pytest.mark.parametrize("name", ORACLES)
def test_a_weighted_figure_equals_that_of_scikit_learn(name: str) -> None:
    probabilities, actual, weights = planted(0)
    found = metrics.headline(probabilities, actual, weights, bins=10)[name]
    assert found == pytest.approx([ORACLES[name](probabilities, actual, w) for w in weights], rel=1e-9)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning:sklearn")
def test_a_class_without_images_is_left_out_of_the_means() -> None:
    probabilities, actual, weights = planted(1, absent=2)
    found = metrics.headline(probabilities, actual, weights[:1], bins=10)
    assert found["macro_auroc"] == pytest.approx([macro_auroc(probabilities, actual, weights[0])])
    expected = oracle.balanced_accuracy_score(actual, probabilities.argmax(1), sample_weight=weights[0])
    assert found["balanced_accuracy"] == pytest.approx([expected])


def test_weighting_an_image_twice_is_having_it_twice() -> None:
    probabilities, actual, weights = planted(2)
    rows = np.repeat(np.arange(len(actual)), weights[0].astype(int))
    weighted = metrics.headline(probabilities, actual, weights[:1], bins=7)
    repeated = metrics.headline(probabilities[rows], actual[rows], np.ones((1, len(rows))), bins=7)
    for name, value in weighted.items():
        assert value == pytest.approx(repeated[name]), name


def test_one_class_alone_has_no_auroc() -> None:
    probabilities, _, weights = planted(3)
    found = metrics.headline(probabilities, np.zeros(len(probabilities), int), weights, bins=5)
    assert np.isnan(found["macro_auroc"]).all()
    assert np.isfinite(found["balanced_accuracy"]).all()


def test_calibration_error_is_the_planted_gap() -> None:
    probabilities = np.tile([0.85, 0.15], (100, 1))
    actual = np.repeat([0, 1], [60, 40])
    assert metrics.calibration_error(probabilities, actual, np.ones((1, 100)), bins=10) == pytest.approx([0.25])


def test_confidence_on_an_edge_falls_into_the_lower_bin() -> None:
    assert metrics.bin_of(np.array([0.0, 0.1, 0.5, 0.51, 1.0]), 10).tolist() == [0, 0, 4, 5, 9]


def test_log_loss_of_an_impossible_class_is_finite() -> None:
    found = metrics.headline(np.array([[0.0, 1.0]]), np.array([0]), np.ones((1, 1)), bins=2)["log_loss"]
    assert found == pytest.approx([-np.log(metrics.SMALLEST)])


def sensitivity(actual: NDArray[np.bool_], score: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    false, true, _ = oracle.roc_curve(actual, score, sample_weight=weight, drop_intermediate=False)
    return float(true[false <= 0.1 + 1e-9].max())


@pytest.mark.parametrize("number", range(CLASSES))
def test_each_class_is_scored_as_scikit_learn_does(number: int) -> None:
    probabilities, actual, weights = planted(4)
    found = metrics.one_class(probabilities, actual, weights, number=number)
    positive, claimed, score = actual == number, probabilities.argmax(1) == number, probabilities[:, number]
    oracles: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "recall": lambda w: oracle.recall_score(positive, claimed, sample_weight=w),
        "specificity": lambda w: oracle.recall_score(~positive, ~claimed, sample_weight=w),
        "precision": lambda w: oracle.precision_score(positive, claimed, sample_weight=w),
        "f1": lambda w: oracle.f1_score(positive, claimed, sample_weight=w),
        "auroc": lambda w: oracle.roc_auc_score(positive, score, sample_weight=w),
        "average_precision": lambda w: oracle.average_precision_score(positive, score, sample_weight=w),
        "sensitivity_at_90_specificity": lambda w: sensitivity(positive, score, w),
    }
    assert found.keys() == oracles.keys()
    for name, score_by in oracles.items():
        assert found[name] == pytest.approx([score_by(w) for w in weights]), name


def test_a_class_never_predicted_has_no_precision_and_one_without_images_no_recall() -> None:
    probabilities, actual = np.array([[0.6, 0.4, 0.0], [0.7, 0.3, 0.0]]), np.array([0, 1])
    found = [metrics.one_class(probabilities, actual, np.ones((1, 2)), number=k) for k in range(3)]
    assert [bool(np.isnan(of["precision"][0])) for of in found] == [False, True, True]
    for name in ("recall", "auroc", "average_precision", "sensitivity_at_90_specificity"):
        assert [bool(np.isnan(of[name][0])) for of in found] == [False, False, True], name
    assert [of["f1"][0] for of in found[:2]] == pytest.approx([2 / 3, 0])
    assert found[2]["specificity"] == [1]


def test_sensitivity_is_that_of_a_threshold_which_lets_every_tenth_negative_pass() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02])
    positive = np.isin(np.arange(13), [0, 2, 5])  # the first two negatives lie above one positive and two
    ranking = metrics.rank(score, positive, np.ones((13, 1)))
    assert metrics.sensitivity_at(0.9, ranking) == pytest.approx([2 / 3])
    assert metrics.sensitivity_at(0.7, ranking) == pytest.approx([1])
    of_one_score = metrics.rank(np.ones(13), positive, np.ones((13, 1)))
    assert metrics.sensitivity_at(0.9, of_one_score) == pytest.approx([0])


def test_the_area_of_risk_over_coverage_is_the_mean_error_rate_of_the_surest() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    actual = np.array([0, 1, 1, 1])  # only the second surest is wrong
    area = metrics.risk_coverage_area(probabilities, actual, np.ones((1, 4)))
    assert area == pytest.approx([np.mean([0, 1 / 2, 1 / 3, 1 / 4])])
    curve = metrics.risk_coverage_curve(probabilities, actual, points=100)
    assert curve["coverage"].tolist() == [0.25, 0.5, 0.75, 1]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])


def test_images_of_one_confidence_are_covered_at_once_in_whatever_order_they_stand() -> None:
    probabilities, actual = np.tile([0.8, 0.2], (4, 1)), np.array([0, 0, 0, 1])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        assert metrics.risk_coverage_area(probabilities, actual[order], np.ones((1, 4))) == pytest.approx([0.25])


def test_roc_keeps_only_corners_and_all_of_the_area() -> None:
    rng = np.random.default_rng(0)
    actual = rng.integers(0, 2, 80)
    score = np.round(rng.random(80) * 0.6 + actual * 0.3, 2)
    found = metrics.roc_curves(np.stack([1 - score, score], 1), actual, ["a", "b"], points=1000)
    curve = found.loc[found["diagnosis"] == "b", ["false_positive_rate", "true_positive_rate"]].to_numpy()
    false, true, _ = oracle.roc_curve(actual, score, drop_intermediate=False)
    assert len(curve) < len(false)
    assert {tuple(point) for point in curve} <= set(zip(false, true, strict=True))
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(oracle.roc_auc_score(actual, score))


def test_a_thinned_roc_keeps_its_ends_and_its_area() -> None:
    rng = np.random.default_rng(1)
    actual = rng.integers(0, 2, 5000)
    score = rng.normal(actual)
    found = metrics.roc_curves(np.stack([-score, score], 1), actual, ["a", "b"], points=100)
    curve = found[found["diagnosis"] == "b"]
    assert len(curve) <= 100
    assert curve.iloc[0, :2].tolist() == [0, 0]
    assert curve.iloc[-1, :2].tolist() == [1, 1]
    area = np.trapezoid(curve["true_positive_rate"].to_numpy(), curve["false_positive_rate"].to_numpy())
    assert area == pytest.approx(oracle.roc_auc_score(actual, score), abs=0.002)


def test_a_class_without_images_has_no_roc() -> None:
    found = metrics.roc_curves(
        np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), np.array([0, 1]), ["a", "b", "c"], points=10
    )
    assert sorted(found["diagnosis"].unique()) == ["a", "b"]


def test_calibration_counts_every_image_once() -> None:
    probabilities = np.array([[0.95, 0.05], [0.93, 0.07], [0.4, 0.6], [0.35, 0.65]])
    found = metrics.calibration_curve(probabilities, np.array([0, 1, 1, 1]), bins=10)
    assert found["count"].tolist() == [1, 1, 2]
    assert found["confidence"].tolist() == pytest.approx([0.6, 0.65, 0.94])
    assert found["accuracy"].tolist() == pytest.approx([1, 1, 0.5])


def test_confusion_names_each_image() -> None:
    found = metrics.confusion_pairs(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([0, 0]), ["nevus", "wart"])
    assert found.to_numpy().tolist() == [["nevus", "wart"], ["nevus", "nevus"]]
