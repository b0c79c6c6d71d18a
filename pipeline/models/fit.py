"""The training loop: the same bytes from the same inputs, whether or not the run was killed in between.

All randomness of an epoch follows from (seed, epoch), so a checkpoint after each epoch holds everything: network,
optimiser, gradient scale and history.

The best epoch is the one with the lowest log loss on validation, averaged over classes, as is balanced accuracy, the
headline figure. Accuracy itself moves in steps (one of 20 images of a rare class is .7 points); picked by it, heads on
frozen features were no better at accuracy and worse at log loss (HAM10000: .547 and 1.35 against .560 and 1.31).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.models.losses import Loss
from pipeline.models.params import Recipe

Inputs = Callable[[Tensor, torch.Generator | None], Tensor]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """What is learnt from, or scored.

    inputs: gives the network's input for some rows, on its device; augmented if a generator comes with them.
    target: (n, classes) float32, how far each row counts as each class, on the CPU; rows sum to 1.
    weight: (n,) of each row in the loss, on the CPU.
    draws: (n,) how often each row comes in an epoch, on average, on the CPU.
    """

    inputs: Inputs
    target: Tensor
    weight: Tensor
    draws: Tensor

    @property
    def actual(self) -> NDArray[np.int64]:
        """Class of each row that a label is not shared out of, (n,)."""
        classes: NDArray[np.int64] = self.target.argmax(1).numpy()
        return classes


@dataclass(frozen=True)
class Epoch:
    """A line of the history."""

    epoch: int
    train_loss: float
    validation_balanced_accuracy: float
    validation_log_loss: float


def fit(
    network: nn.Module,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    loss: Loss,
    *,
    seed: int,
    checkpoint: Path,
) -> list[Epoch]:
    """Train `network` in place; it ends with the weights of its best epoch.

    Args:
        network: on its device.
        train: what it learns from.
        validation: what says when to stop.
        recipe: hyperparameters.
        loss: of a batch, from `losses.make_loss`.
        seed: of order, augmentation and dropout.
        checkpoint: file that is written after every epoch; a run that finds it goes on from there.

    Returns:
        the history; training has stopped early where it is shorter than `recipe.epochs`.

    Raises:
        UserError: the loss is no longer a number.

    """
    device = next(network.parameters()).device
    run = _Run(network, recipe, loss, device)
    run.restore(checkpoint)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch in tqdm(range(len(run.history), recipe.epochs), desc="train", unit="epoch", disable=None):
            if run.history and epoch - best_epoch(run.history).epoch >= recipe.patience_epochs:
                break
            mean_loss = _learn(run, train, epoch=epoch, seed=seed)
            if not math.isfinite(mean_loss):
                raise UserError(f"training diverged in epoch {epoch + 1}: lower learning_rate ({recipe.learning_rate})")
            probabilities = predict(network, validation.inputs, len(validation.target), batch_size=recipe.batch_size)
            run.history.append(Epoch(epoch + 1, mean_loss, *balanced_scores(probabilities, validation.actual)))
            run.save(checkpoint)
    network.load_state_dict(run.best)
    return run.history


def predict(network: nn.Module, inputs: Inputs, count: int, *, batch_size: int) -> NDArray[np.float64]:
    """Return the probabilities of the first `count` rows: float64 array of shape (count, classes)."""
    network.eval()
    with torch.inference_mode():
        batches = [
            functional.softmax(network(inputs(rows, None)).double(), 1).cpu()
            for rows in torch.arange(count).split(2 * batch_size)
            if len(rows)
        ]
    return torch.cat(batches).numpy() if batches else np.empty((0, 0))


def balanced_scores(probabilities: NDArray[np.float64], actual: NDArray[np.int64]) -> tuple[float, float]:
    """Return accuracy and log loss, each the mean over the classes present of the mean over a class's rows."""
    hit = probabilities.argmax(1) == actual
    loss = -np.log(np.maximum(probabilities[np.arange(len(actual)), actual], np.finfo(np.float32).eps))
    present = np.unique(actual)
    return (
        float(np.mean([hit[actual == k].mean() for k in present])),
        float(np.mean([loss[actual == k].mean() for k in present])),
    )


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Choose the epoch whose weights are kept; of equals the first."""
    return min(history, key=lambda line: line.validation_log_loss)


def learning_rate_factor(step: int, *, warmup_steps: int, steps: int) -> float:
    """Rise linearly through the warm-up, then fall along a cosine to zero at `steps`."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


class _Run:
    """Everything that changes during training."""

    def __init__(self, network: nn.Module, recipe: Recipe, loss: Loss, device: torch.device) -> None:
        self.network, self.recipe, self.loss, self.device = network, recipe, loss, device
        decayed = [p for p in network.parameters() if p.ndim > 1]
        other = [p for p in network.parameters() if p.ndim <= 1]  # biases and norms: decay does not regularise them
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": other, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
        self.history: list[Epoch] = []
        self.best: State = {}

    def restore(self, checkpoint: Path) -> None:
        if not checkpoint.exists():
            return
        state = torch.load(checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.history, self.best = [Epoch(**line) for line in state["history"]], state["best"]

    def save(self, checkpoint: Path) -> None:
        """Keep the network if this epoch was the best, and write the checkpoint: whole or not at all."""
        if best_epoch(self.history) is self.history[-1]:
            self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": [asdict(line) for line in self.history],
            "best": self.best,
        }
        temporary = checkpoint.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(checkpoint)


def _learn(run: _Run, train: Examples, *, epoch: int, seed: int) -> float:
    """Go once through the examples; return the mean loss."""
    recipe = run.recipe
    state = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    torch.manual_seed(state)  # dropout and stochastic depth draw from torch's own generator
    generator = torch.Generator().manual_seed(state)
    # Batches of almost one size: a last one of a single image would break batch normalisation.
    drawn = draw_rows(train.draws, generator)
    batches = drawn.tensor_split(math.ceil(len(drawn) / recipe.batch_size))
    run.network.train()
    total = 0.0
    for i, rows in enumerate(batches):
        factor = learning_rate_factor(
            epoch * len(batches) + i,
            warmup_steps=recipe.warmup_epochs * len(batches),
            steps=recipe.epochs * len(batches),
        )
        for group in run.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * factor
        total += _step(run, train, rows, generator) * len(rows)
    return total / len(drawn)


def draw_rows(draws: Tensor, generator: torch.Generator) -> Tensor:
    """List the rows of an epoch in random order: each `draws` times, where that is no whole number on average.

    Args:
        draws: (n,) not negative.
        generator: draws.

    """
    times, rest = draws.floor().long(), draws.frac()
    if rest.any():
        times += torch.rand(len(draws), generator=generator) < rest
    rows = torch.arange(len(draws)).repeat_interleave(times)
    if not len(rows):  # fewer than one image an epoch: better the likeliest than none
        rows = draws.argmax().reshape(1)
    return rows[torch.randperm(len(rows), generator=generator)]


def _step(run: _Run, train: Examples, rows: Tensor, generator: torch.Generator) -> float:
    inputs = train.inputs(rows, generator)
    target, weight = train.target[rows].to(run.device), train.weight[rows].to(run.device)
    target = torch.lerp(target, torch.full_like(target, 1 / target.shape[1]), run.recipe.label_smoothing)
    with torch.amp.autocast(run.device.type, dtype=torch.float16, enabled=run.device.type == "cuda"):
        logits = run.network(inputs)
    # Weights have mean 1 over an epoch: the mean of the products, not their weighted mean, is unbiased batch by batch.
    loss = (run.loss(logits.float(), target) * weight).mean()
    run.optimiser.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()
    run.scaler.step(run.optimiser)
    run.scaler.update()
    return float(loss.detach())
