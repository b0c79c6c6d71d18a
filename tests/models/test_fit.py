from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.core.errors import UserError
from pipeline.models import fit as loop
from pipeline.models.batches import VIEWS
from pipeline.models.fit import Examples, balanced_scores, best_epoch, draw_rows, fit, mixup, predict
from pipeline.models.losses import cross_entropy
from pipeline.models.params import Recipe

RECIPE = Recipe(
    epochs=5,
    patience_epochs=5,
    batch_size=8,
    optimizer="adamw",
    learning_rate=0.05,
    schedule="cosine",
    warmup_epochs=1,
    weight_decay=0.01,
    label_smoothing=0.0,
    mixup_alpha=0.0,
    ema_decay=0.0,
    precision="fp32",
)


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks of a few neurons gain nothing from more
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def network(seed: int = 0) -> nn.Module:
    """A network with everything that has a state of its own: batch statistics, dropout, decayed and other weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def examples(seed: int, *, count: int = 50, noise: float = 0.3, weight: float = 1.0) -> Examples:
    """Three clusters; inputs are jittered where a generator comes with the rows, as augmentation does."""
    rng = np.random.default_rng(seed)
    actual = torch.from_numpy(rng.integers(0, 3, count))
    centres = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, -1], [0, 0, 1, 0]])
    points = centres[actual] + noise * torch.from_numpy(rng.normal(size=(count, 4)).astype(np.float32))

    def inputs(rows: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        jitter = 0.0 if generator is None else 0.05 * torch.randn(len(rows), 4, generator=generator)
        return points[rows] + jitter

    return Examples(inputs, functional.one_hot(actual, 3).float(), torch.full((count,), weight), torch.ones(count))


def trained(path: Path, *, seed: int = 0, recipe: Recipe = RECIPE) -> dict[str, torch.Tensor]:
    net = network()
    fit(net, examples(1), examples(2), recipe, cross_entropy, seed=seed, checkpoint=path / "checkpoint.pt")
    return dict(net.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_separable_classes_are_learnt(tmp_path: Path) -> None:
    net, unseen = network(), examples(3, noise=0.1)
    history = fit(
        net, examples(1, noise=0.1), examples(2, noise=0.1), RECIPE, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt"
    )
    assert (predict(net, unseen.inputs, 50, batch_size=8).argmax(1) == unseen.actual).all()
    assert history[-1].train_loss < history[0].train_loss


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    first, again, other = (trained(folder, seed=seed) for folder, seed in zip(folders, (1, 1, 2), strict=True))
    assert same(first, again)
    assert not same(first, other)


KINDS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd"},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.005},
    "step": {"schedule": "step"},
    "constant": {"schedule": "constant"},
    "ema": {"ema_decay": 0.99},
    "mixup": {"mixup_alpha": 0.4},
    "bf16": {"precision": "bf16"},
    "all at once": {"optimizer": "sgd", "schedule": "step", "ema_decay": 0.9, "mixup_alpha": 1.0, "precision": "bf16"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed_after", [0, 1, 3, 5])
def test_a_killed_run_ends_with_the_same_weights(
    killed_after: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    recipe = RECIPE.model_copy(update=KINDS[kind])
    whole = trained(tmp_path / "whole", recipe=recipe)
    learn, epochs = loop._learn, iter(range(killed_after))

    def learn_until_killed(run: loop._Run, train: Examples, *, epoch: int, seed: int) -> float:
        loss = learn(run, train, epoch=epoch, seed=seed)
        if next(epochs, None) is None:  # dies after the epoch, before its checkpoint
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_learn", learn_until_killed)
        if killed_after < RECIPE.epochs:
            with pytest.raises(KeyboardInterrupt):
                trained(tmp_path / "killed", recipe=recipe)
        else:
            trained(tmp_path / "killed", recipe=recipe)
    assert same(whole, trained(tmp_path / "killed", recipe=recipe))


@pytest.mark.parametrize("kind", list(KINDS)[1:])
def test_every_part_of_a_recipe_changes_the_weights_and_still_learns(kind: str, tmp_path: Path) -> None:
    net, unseen = network(), examples(3, noise=0.1)
    train, validation, recipe = examples(1, noise=0.1), examples(2, noise=0.1), RECIPE.model_copy(update=KINDS[kind])
    fit(net, train, validation, recipe, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt")
    assert (predict(net, unseen.inputs, 50, batch_size=8).argmax(1) == unseen.actual).mean() > 0.9
    (tmp_path / "plain").mkdir()
    usual = network()
    fit(usual, train, validation, RECIPE, cross_entropy, seed=0, checkpoint=tmp_path / "plain/c.pt")
    assert not same(dict(net.state_dict()), dict(usual.state_dict()))


def test_a_resumed_run_does_not_repeat_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path)
    monkeypatch.setattr(loop, "_learn", None)  # calling it would fail
    trained(tmp_path)


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    train, hopeless = examples(1), examples(2, noise=50.0)
    recipe = RECIPE.model_copy(update={"epochs": 40, "patience_epochs": 2, "learning_rate": 0.2})
    history = fit(network(), train, hopeless, recipe, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt")
    best = best_epoch(history)
    assert len(history) == best.epoch + 2 < 40


def test_the_best_epochs_weights_are_kept(tmp_path: Path) -> None:
    net, validation = network(), examples(2, noise=1.0)
    recipe = RECIPE.model_copy(update={"epochs": 12, "patience_epochs": 12, "learning_rate": 0.2})
    history = fit(
        net, examples(1, noise=1.0, count=16), validation, recipe, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt"
    )
    best = best_epoch(history)
    assert best is not history[-1]
    found = balanced_scores(predict(net, validation.inputs, 50, batch_size=8), validation.actual)
    assert found == pytest.approx((best.validation_balanced_accuracy, best.validation_log_loss))


def test_an_image_of_weight_zero_teaches_nothing(tmp_path: Path) -> None:
    train = examples(1, noise=0.1)
    wrong = torch.arange(50) < 20
    weight = torch.where(wrong, 0.0, 50 / 30)
    poisoned = replace(train, target=torch.where(wrong[:, None], train.target.roll(1, 1), train.target), weight=weight)
    net, unseen = network(), examples(3, noise=0.1)
    fit(net, poisoned, examples(2, noise=0.1), RECIPE, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt")
    assert (predict(net, unseen.inputs, 50, batch_size=8).argmax(1) == unseen.actual).all()


def test_a_class_without_train_images_harms_nothing(tmp_path: Path) -> None:
    train = examples(1)
    two = replace(train, target=torch.eye(3)[train.target.argmax(1).clamp(max=1)])
    history = fit(network(), two, examples(2), RECIPE, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt")
    assert 0 < history[-1].validation_balanced_accuracy <= 2 / 3


@pytest.mark.parametrize("count", [2, 9, 17])
def test_no_batch_is_left_with_a_single_image(count: int, tmp_path: Path) -> None:
    fit(network(), examples(1, count=count), examples(2), RECIPE, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt")


def test_divergence_ends_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="training diverged in epoch 1: lower learning_rate"):
        fit(
            network(),
            examples(1, weight=float("inf")),
            examples(2),
            RECIPE,
            cross_entropy,
            seed=0,
            checkpoint=tmp_path / "c.pt",
        )


def rates(recipe: Recipe, *, steps: int = 8) -> list[float]:
    """Learning rates, as shares of the highest, in the middle of every of `steps` steps an epoch."""
    run = loop._Run(network(), recipe, cross_entropy, torch.device("cpu"))
    found = []
    for step in range(recipe.epochs * steps):
        run.schedule.step((step + 0.5) / steps)
        found.append({group["lr"] for group in run.optimiser.param_groups})
    assert all(len(of_step) == 1 for of_step in found)
    return [rate / recipe.learning_rate for of_step in found for rate in of_step]


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_the_learning_rate_rises_and_then_does_what_the_schedule_says(schedule: Any) -> None:
    found = rates(RECIPE.model_copy(update={"schedule": schedule, "epochs": 7}))
    assert found[:8] == pytest.approx(np.arange(0.5, 8) / 8)
    expected = {
        "cosine": 0.5 * (1 + np.cos(np.pi * np.arange(0.5, 48) / 48)),
        "step": np.repeat([1, 0.1, 0.01], 16),
        "constant": np.ones(48),
    }
    assert found[8:] == pytest.approx(expected[schedule])


def test_biases_and_norms_are_not_decayed() -> None:
    groups = loop._Run(network(), RECIPE, cross_entropy, torch.device("cpu")).optimiser.param_groups
    decayed = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in groups}
    assert decayed == {0.0: {1}, RECIPE.weight_decay: {2}}


def test_the_moving_average_is_what_is_scored_and_kept(tmp_path: Path) -> None:
    """With a decay of almost 1 and its warm-up, the kept weights lag behind those that are trained."""
    net, validation = network(), examples(2)
    recipe = RECIPE.model_copy(update={"ema_decay": 0.999, "epochs": 3})
    history = fit(net, examples(1), validation, recipe, cross_entropy, seed=0, checkpoint=tmp_path / "c.pt")
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    assert best_epoch(history) is history[-1]
    assert same(dict(net.state_dict()), state["average"])
    assert not same(state["average"], state["network"])
    found = balanced_scores(predict(net, validation.inputs, 50, batch_size=8), validation.actual)
    assert found[1] == pytest.approx(history[-1].validation_log_loss)


def test_a_mixed_row_costs_the_shares_of_what_its_two_rows_cost() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, logits = torch.randn(6, 4, generator=generator), torch.randn(6, 3, generator=generator)
    target, weight = torch.eye(3)[[0, 1, 2, 0, 1, 2]], torch.tensor([1.0, 2.0, 0.0, 0.5, 1.0, 3.0])
    mixed, counts, factor = mixup(inputs, target, weight, alpha=1.0, generator=torch.Generator().manual_seed(1))
    share, partner = next(
        (share, torch.tensor(list(order)))
        for order in permutations(range(6))
        if not torch.equal(torch.tensor(order), torch.arange(6))
        for share in [_share(mixed, inputs, torch.tensor(order))]
        if share is not None
    )
    assert 0 < share < 1
    plain = cross_entropy(logits, target) * weight, cross_entropy(logits, target[partner]) * weight[partner]
    assert cross_entropy(logits, counts) * factor == pytest.approx(share * plain[0] + (1 - share) * plain[1])


def _share(mixed: torch.Tensor, inputs: torch.Tensor, order: torch.Tensor) -> float | None:
    """Find λ with mixed = λ inputs + (1 - λ) inputs[order]; None where there is none."""
    between, along = (inputs - inputs[order]).flatten(), (mixed - inputs[order]).flatten()
    share = float(between @ along / (between @ between))
    return share if torch.allclose(share * between, along, atol=1e-5) else None


def test_the_views_of_an_image_are_averaged() -> None:
    net, rows = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.rand(5, 1, 2, 2)
    views = VIEWS["dihedral"]
    found = predict(net, lambda some, _: rows[some], 5, batch_size=2, views=views)
    with torch.inference_mode():
        each = [functional.softmax(net(view(rows)).double(), 1) for view in views]
    assert found == pytest.approx(torch.stack(each).mean(0).numpy())
    assert len({view(torch.arange(4.0).view(1, 1, 2, 2)).flatten().numpy().tobytes() for view in views}) == 8


def test_scores_count_classes_alike() -> None:
    probabilities = np.array([[0.5, 0.5, 0], [0.8, 0.2, 0], [0.8, 0.2, 0], [0.75, 0.25, 0]])
    accuracy, loss = balanced_scores(probabilities, np.array([0, 0, 0, 1]))
    assert accuracy == pytest.approx(0.5)
    assert loss == pytest.approx((-np.log([0.5, 0.8, 0.8]).mean() - np.log(0.25)) / 2)


def test_probabilities_do_not_depend_on_the_batch() -> None:
    net, rows = network(), examples(1)
    whole, parts = (predict(net, rows.inputs, 50, batch_size=size) for size in (50, 3))
    assert whole == pytest.approx(parts, abs=1e-6)
    assert whole.sum(1) == pytest.approx(np.ones(50))


def test_an_epoch_draws_each_image_as_often_as_it_is_told_to() -> None:
    draws = torch.tensor([0.0, 1.0, 2.0, 0.25, 1.5])
    generator = torch.Generator().manual_seed(0)
    counts = torch.stack([torch.bincount(draw_rows(draws, generator), minlength=5) for _ in range(2000)]).double()
    assert (counts[:, :3] == torch.tensor([0.0, 1.0, 2.0])).all()
    assert counts.mean(0).numpy() == pytest.approx(draws.numpy(), abs=0.05)


def test_images_that_come_once_are_only_shuffled() -> None:
    rows = draw_rows(torch.ones(50), torch.Generator().manual_seed(3))
    assert (rows == torch.randperm(50, generator=torch.Generator().manual_seed(3))).all()


def test_an_epoch_is_never_empty() -> None:
    rows = draw_rows(torch.tensor([1e-9, 2e-9]), torch.Generator().manual_seed(0))
    assert rows.tolist() == [1]


def test_oversampling_learns_a_class_that_is_drowned_otherwise(tmp_path: Path) -> None:
    """Two images of class 2 among 48 of the others, at a learning rate that lets the network see them."""
    train, unseen = examples(1, noise=0.8), examples(3, noise=0.8)
    rare = torch.from_numpy(train.actual == 2)
    kept = ~rare | (rare.cumsum(0) <= 2)
    drawn = torch.where(kept, torch.where(rare, 20.0, 1.0), 0.0)
    recall = {}
    for name, draws in {"as they are": kept.float(), "oversampled": drawn}.items():
        net = network()
        given = replace(train, draws=draws)
        fit(net, given, examples(2, noise=0.8), RECIPE, cross_entropy, seed=0, checkpoint=tmp_path / f"{name}.pt")
        said = predict(net, unseen.inputs, 50, batch_size=8).argmax(1)
        recall[name] = (said == 2)[unseen.actual == 2].mean()
    assert recall["oversampled"] > recall["as they are"]
