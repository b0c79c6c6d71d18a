"""The training loop: the same bytes from the same inputs, whether or not the run was killed in between.

All randomness of an epoch follows from (seed, epoch), and the learning rate from the epoch, so a checkpoint after each
epoch holds everything: network, optimiser, moving average, steps done and history. Optimisers, schedules and the moving
average of weights are timm's.

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
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.errors import UserError
from pipeline.core.progress import step, track, within
from pipeline.models.losses import Loss
from pipeline.models.params import Recipe

Inputs = Callable[[Tensor, torch.Generator | None], Tensor]
State = dict[str, Tensor]
View = Callable[[Tensor], Tensor]

DROPS = 3  # of the learning rate, one every so much of the epochs: schedule `step`


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

    def take(self, rows: NDArray[np.integer]) -> Examples:
        """Choose some of them."""
        chosen = torch.from_numpy(rows.copy())
        return Examples(
            lambda some, generator: self.inputs(chosen[some], generator),
            self.target[chosen],
            self.weight[chosen],
            self.draws[chosen],
        )

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
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        step("train", recipe.epochs, unit="epochs", first=len(run.history)) as followed,
    ):
        for epoch in range(len(run.history), recipe.epochs):
            if run.history and epoch - best_epoch(run.history).epoch >= recipe.patience_epochs:
                break
            mean_loss = _learn(run, train, epoch=epoch, seed=seed)
            if not math.isfinite(mean_loss):
                raise UserError(f"training diverged in epoch {epoch + 1}: lower learning_rate ({recipe.learning_rate})")
            count, size = len(validation.target), recipe.batch_size
            probabilities = predict(run.scored, validation.inputs, count, batch_size=size)
            run.history.append(Epoch(epoch + 1, mean_loss, *balanced_scores(probabilities, validation.actual)))
            run.save(checkpoint)
            followed.done = epoch + 1
            followed.note = f"loss {mean_loss:.3f}, of validation {run.history[-1].validation_log_loss:.3f}"
    network.load_state_dict(run.best)
    return run.history


def predict(
    network: nn.Module, inputs: Inputs, count: int, *, batch_size: int, views: Sequence[View] = (lambda batch: batch,)
) -> NDArray[np.float64]:
    """Return the probabilities of the first `count` rows, float64 of shape (count, classes): the mean over `views`."""
    network.eval()

    def of_batch(batch: Tensor) -> Tensor:
        return torch.stack([functional.softmax(network(view(batch)).double(), 1) for view in views]).mean(0).cpu()

    with torch.inference_mode():
        batches = [
            of_batch(inputs(rows, None))
            for rows in track(torch.arange(count).split(2 * batch_size), "predict", unit="batches")
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


class _Run:
    """Everything that changes during training."""

    def __init__(self, network: nn.Module, recipe: Recipe, loss: Loss, device: torch.device) -> None:
        self.network, self.recipe, self.loss, self.device = network, recipe, loss, device
        # timm leaves biases and norms out of the decay, which does not regularise them.
        self.optimiser = create_optimizer_v2(
            network,
            recipe.optimizer,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            **({} if recipe.optimizer == "rmsprop" else {"fused": True}),
        )
        falling = max(1, recipe.epochs - recipe.warmup_epochs)
        self.schedule, _ = create_scheduler_v2(
            self.optimiser,
            recipe.schedule,
            num_epochs=falling,
            decay_epochs=falling / DROPS,
            warmup_epochs=recipe.warmup_epochs,
            warmup_lr=0.0,
            warmup_prefix=True,
        )
        # Its decay rises to the recipe's, or a short training would keep much of where it began.
        self.average = ModelEmaV3(network, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
        self.steps = 0
        self.history: list[Epoch] = []
        self.best: State = {}

    @property
    def scored(self) -> nn.Module:
        """What validation judges, and what is kept."""
        return self.network if self.average is None else self.average.module

    def restore(self, checkpoint: Path) -> None:
        if not checkpoint.exists():
            return
        state = torch.load(checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        self.steps = state["steps"]
        self.history, self.best = [Epoch(**line) for line in state["history"]], state["best"]

    def save(self, checkpoint: Path) -> None:
        """Keep the network if this epoch was the best, and write the checkpoint: whole or not at all."""
        if best_epoch(self.history) is self.history[-1]:
            self.best = {name: tensor.clone() for name, tensor in self.scored.state_dict().items()}
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
            "steps": self.steps,
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
    total = torch.zeros((), dtype=torch.float64, device=run.device)  # read once an epoch: a GPU need not wait for us
    for i, rows in enumerate(within(batches, len(batches))):
        run.schedule.step(epoch + (i + 0.5) / len(batches))  # in the middle: neither the first nor the last is at 0
        total += _step(run, train, rows, generator) * len(rows)
    return float(total) / len(drawn)


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


def mixup(
    inputs: Tensor, target: Tensor, weight: Tensor, *, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix each row with another: x = λ x_i + (1 - λ) x_j, and likewise what it counts as each class; λ ~ Beta(a, a).

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018. One λ a batch. timm's and torchvision's take images
    alone, without weights, and draw from a global state.

    Args:
        inputs: (n, …) images or features.
        target: (n, classes), rows sum to 1.
        weight: (n,) in the loss.
        alpha: a, above 0.
        generator: on the CPU; draws λ and partners.

    Returns:
        the same three, mixed: weight and target such that cross-entropy is λ times that of the row, weighted, plus
        1 - λ times that of its partner.

    """
    drawn = int(torch.randint(2**62, (1,), generator=generator))
    share = float(np.random.default_rng(drawn).beta(alpha, alpha))
    partner = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    counts = target * weight[:, None]
    mixed, counts = (share * values + (1 - share) * values[partner] for values in (inputs, counts))
    weight = counts.sum(1)
    return mixed, counts / weight.clamp(min=torch.finfo(weight.dtype).tiny)[:, None], weight


def _step(run: _Run, train: Examples, rows: Tensor, generator: torch.Generator) -> Tensor:
    recipe = run.recipe
    inputs = train.inputs(rows, generator)
    target, weight = train.target[rows].to(run.device), train.weight[rows].to(run.device)
    target = torch.lerp(target, torch.full_like(target, 1 / target.shape[1]), recipe.label_smoothing)
    if recipe.mixup_alpha:
        inputs, target, weight = mixup(inputs, target, weight, alpha=recipe.mixup_alpha, generator=generator)
    with torch.amp.autocast(run.device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
        logits = run.network(inputs)
    # Weights have mean 1 over an epoch: the mean of the products, not their weighted mean, is unbiased batch by batch.
    loss = (run.loss(logits.float(), target) * weight).mean()
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    run.optimiser.step()
    run.steps += 1
    if run.average is not None:
        run.average.update(run.network, step=run.steps)
    return loss.detach()
