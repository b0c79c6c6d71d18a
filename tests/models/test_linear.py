from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from pipeline.core.errors import UserError
from pipeline.models import linear
from pipeline.models.linear import STRENGTHS, Coordinates, Strength, fit_path
from pipeline.models.losses import cross_entropy
from pipeline.models.params import read_member
from pipeline.models.trainable import Plan, Targets, train_probe
from tests.project import PROBE

CLASSES = 3
Drawn = dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]


def drawn(*, features: int, noise: float, counts: dict[str, int], seed: int = 0) -> Drawn:
    """Features in which three of all say the class, each of its own scale, one of them constant."""
    rng = np.random.default_rng(seed)
    scale, found = rng.uniform(0.1, 10, features), {}
    for split, count in counts.items():
        actual = rng.integers(0, CLASSES, count)
        matrix = rng.normal(0, noise, (count, features))
        matrix[:, :CLASSES] += np.eye(CLASSES)[actual]
        matrix[:, -1] = 0.5
        found[split] = ((matrix * scale).astype(np.float32), actual)
    return found


def fitted(
    made: Drawn, weight: NDArray[np.float32] | None = None, draws: NDArray[np.float32] | None = None
) -> tuple[nn.Linear, list[Strength]]:
    matrix, actual = made["train"]
    one = np.ones(len(actual), np.float32)
    targets = Targets(
        np.eye(CLASSES, dtype=np.float32)[actual], one if weight is None else weight, one if draws is None else draws
    )
    head = nn.Linear(matrix.shape[1], CLASSES)
    inputs = {split: torch.from_numpy(made[split][0]) for split in ("train", "validation")}
    history = fit_path(
        head, inputs, targets.examples(lambda rows, _: inputs["train"][rows]), made["validation"][1], cross_entropy
    )
    return head, history


def said(head: nn.Linear, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    weight, bias = (tensor.detach().double().numpy() for tensor in (head.weight, head.bias))
    found: NDArray[np.float64] = softmax(matrix.astype(float) @ weight.T + bias, axis=1)
    return found


@pytest.mark.parametrize("features", [20, 150], ids=["fewer features than images", "more features than images"])
def test_it_is_the_logistic_regression_of_that_strength(features: int) -> None:
    """scikit-learn's, on standardised features, with the same penalty on the mean loss: C = 1 / (n λ)."""
    made = drawn(features=features, noise=1.0, counts={"train": 90, "validation": 60, "test": 60})
    weight = np.random.default_rng(1).uniform(0.2, 3, 90).astype(np.float32)
    head, history = fitted(made, weight)
    best = min(history, key=lambda line: line.validation_log_loss)
    scaler = StandardScaler().fit(made["train"][0].astype(float))
    peer = LogisticRegression(C=1 / (90 * best.penalty), tol=1e-8, max_iter=10_000)
    peer.fit(scaler.transform(made["train"][0].astype(float)), made["train"][1], sample_weight=weight / weight.mean())
    expected = peer.predict_proba(scaler.transform(made["test"][0].astype(float)))
    assert said(head, made["test"][0]) == pytest.approx(expected, abs=0.005)


def test_the_path_falls_until_validation_no_longer_gains() -> None:
    head, history = fitted(drawn(features=60, noise=2.0, counts={"train": 90, "validation": 300}))
    del head
    losses = [line.validation_log_loss for line in history]
    assert [line.penalty for line in history] == list(STRENGTHS[: len(history)])
    assert 2 < len(history) < len(STRENGTHS)
    assert np.argmin(losses) == len(losses) - 3
    assert [line.train_loss for line in history] == sorted((line.train_loss for line in history), reverse=True)


def test_noisier_features_are_held_shorter() -> None:
    kept = []
    for noise in (0.3, 3.0):
        _, history = fitted(drawn(features=40, noise=noise, counts={"train": 120, "validation": 300}))
        kept.append(min(history, key=lambda line: line.validation_log_loss).penalty)
    assert kept[0] < kept[1]


def test_an_image_that_is_drawn_twice_counts_as_two() -> None:
    made = drawn(features=12, noise=1.0, counts={"train": 60, "validation": 60})
    twice = np.where(np.arange(60) < 30, 2, 1).astype(np.float32)
    doubled = {**made, "train": tuple(np.concatenate([part, part[:30]]) for part in made["train"])}
    standard = Coordinates.fit(torch.from_numpy(made["train"][0]))
    of_draws, of_weights = fitted(made, draws=twice)[0], fitted(made, weight=twice)[0]
    assert torch.equal(of_draws.weight, of_weights.weight)
    # Of the doubled images mean and spread differ a little, and with them what the penalty means.
    found = said(fitted(doubled)[0], made["validation"][0])  # type: ignore[arg-type]
    assert found == pytest.approx(said(of_draws, made["validation"][0]), abs=0.05)
    assert standard.basis.shape == (12, 11)  # less the constant one


def test_coordinates_keep_lengths() -> None:
    matrix = torch.from_numpy(drawn(features=80, noise=1.0, counts={"train": 30})["train"][0])
    to = Coordinates.fit(matrix)
    scaled = (matrix - to.mean) / to.std
    assert to.basis.shape == (80, 29)
    assert torch.allclose(to.of(matrix).norm(dim=1), scaled.norm(dim=1), rtol=1e-3)


@pytest.mark.parametrize("features", [5, 100])
def test_images_that_are_all_alike_say_how_frequent_classes_are(features: int) -> None:
    rng = np.random.default_rng(0)
    actual = np.array([0] * 30 + [1] * 20 + [2] * 10)
    made = {
        split: (np.full((60, features), 3.0, np.float32), rng.permutation(actual)) for split in ("train", "validation")
    }
    head, _ = fitted(made)
    assert said(head, made["train"][0])[0] == pytest.approx([0.5, 1 / 3, 1 / 6], abs=0.01)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(tmp_path: Path, split: str, value: float) -> None:
    """As AdamW's loss was when it diverged: no head of NaN is ever kept."""
    made = drawn(features=6, noise=0.1, counts=dict.fromkeys(("train", "validation", "test"), 20))
    features = {name: matrix for name, (matrix, _) in made.items()}
    features[split][3, 2] = value
    targets = {s: Targets.of_classes(actual, CLASSES, np.ones(20, np.float32)) for s, (_, actual) in made.items()}
    with pytest.raises(UserError, match=f"features of {split} hold numbers that are not finite"):
        train_probe(features, targets, Plan(read_member(PROBE), "cross_entropy", 0, tmp_path), device="cpu")


def test_a_path_is_walked_by_one_thread_and_others_work_on_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, before = [], torch.get_num_threads()

    def score(*_: object) -> tuple[float, float]:
        seen.append(torch.get_num_threads())
        return 0.5, 0.5

    monkeypatch.setattr(linear, "balanced_scores", score)
    torch.set_num_threads(2)
    try:
        fitted(drawn(features=8, noise=1.0, counts={"train": 30, "validation": 30}))
        assert (set(seen), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_a_probe_is_the_same_each_time(tmp_path: Path) -> None:
    made = drawn(features=10, noise=0.1, counts=dict.fromkeys(("train", "validation", "test"), 60))
    features = {split: matrix for split, (matrix, _) in made.items()}
    targets = {
        split: Targets.of_classes(actual, CLASSES, np.ones(60, np.float32)) for split, (_, actual) in made.items()
    }
    plan = Plan(read_member(PROBE), "cross_entropy", seed=0, scratch=tmp_path)
    first, second = (train_probe(features, targets, plan, device="cpu") for _ in range(2))
    assert (first.probabilities["test"].argmax(1) == made["test"][1]).all()
    assert np.array_equal(first.probabilities["test"], second.probabilities["test"])
