"""What of a network is trained: all of it, or a linear head on what the frozen rest says of each image.

The head costs one forward pass an image and then seconds, so it is the member for machines without an accelerator. Both
ways end with a whole network that holds the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.models.batches import ImageSet
from pipeline.models.fit import Epoch, Examples, Inputs, fit, predict
from pipeline.models.losses import make_loss
from pipeline.models.params import LossName, Member, Recipe

Probabilities = NDArray[np.float64]
FEATURE_BATCH = 64
SCORED = ("validation", "test")


@dataclass(frozen=True)
class Targets:
    """What is to be learnt of images, or scored on them.

    target: (n, classes) float32, how far each image counts as each class; rows sum to 1.
    weight: (n,) float32, in the loss.
    draws: (n,) float32, how often it comes in an epoch, on average.
    """

    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    draws: NDArray[np.float32]

    @classmethod
    def of_classes(cls, actual: NDArray[np.integer], classes: int, weight: NDArray[np.float32]) -> Targets:
        """Make targets of one class an image (n,), each drawn once an epoch."""
        return cls(np.eye(classes, dtype=np.float32)[actual], weight, np.ones(len(actual), np.float32))

    def take(self, rows: NDArray[np.integer]) -> Targets:
        """Choose some of them."""
        return Targets(self.target[rows], self.weight[rows], self.draws[rows])

    def examples(self, inputs: Inputs) -> Examples:
        """Pair some form of the images with them."""
        return Examples(inputs, *(torch.tensor(values) for values in (self.target, self.weight, self.draws)))


@dataclass(frozen=True)
class Part:
    """One split: images, and what is to be learnt of them."""

    images: ImageSet
    targets: Targets


Parts = Mapping[str, Part]  # by split: train, validation, test


@dataclass(frozen=True)
class Trained:
    """History, and for validation and test the probabilities (rows, classes)."""

    history: list[Epoch]
    probabilities: dict[str, Probabilities]


def train_all(
    network: nn.Module, parts: Parts, recipe: Recipe, loss: LossName, *, seed: int, checkpoint: Path
) -> Trained:
    """Train every layer, in place."""
    network.to(memory_format=torch.channels_last)  # twice as fast on a CPU as the default layout
    examples = {split: part.targets.examples(part.images) for split, part in parts.items()}
    return _fit(network, examples, recipe, loss, seed=seed, checkpoint=checkpoint)


def train_head(
    network: nn.Module, parts: Parts, recipe: Recipe, loss: LossName, *, seed: int, checkpoint: Path
) -> Trained:
    """Train the classifier on what the frozen rest of the network says of each image, in place.

    Raises:
        UserError: the network's classifier is not linear.

    """
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        name = network.default_cfg["architecture"]
        raise UserError(
            f"{name} has no linear classifier: set trainable: all in params.yaml, or choose another backbone"
        )
    computed = {split: features(network, part.images, label=split) for split, part in parts.items()}
    targets = {split: part.targets for split, part in parts.items()}
    return train_linear(classifier, computed, targets, recipe, loss, seed=seed, checkpoint=checkpoint)


def train_linear(
    classifier: nn.Linear,
    inputs: Mapping[str, Tensor],
    targets: Mapping[str, Targets],
    recipe: Recipe,
    loss: LossName,
    *,
    seed: int,
    checkpoint: Path,
) -> Trained:
    """Train a linear layer on features, in place. It learns on standardised ones, and ends with what raw ones need.

    Args:
        classifier: what to train, and where it starts.
        inputs: by split, float32 of shape (images, features), on the device.
        targets: by split, of the same images.
        recipe: hyperparameters.
        loss: which.
        seed: of the order.
        checkpoint: file that keeps finished epochs.

    """
    std, mean = torch.std_mean(inputs["train"], 0, correction=0)
    std = std.clamp(min=1e-6)  # a feature that never varies says nothing
    head = nn.Linear(classifier.in_features, classifier.out_features).to(std.device)
    head.load_state_dict(classifier.state_dict())
    examples = {split: targets[split].examples(_lookup((raw - mean) / std)) for split, raw in inputs.items()}
    trained = _fit(head, examples, recipe, loss, seed=seed, checkpoint=checkpoint)
    with torch.no_grad():
        classifier.weight.copy_(head.weight / std)
        classifier.bias.copy_(head.bias - head.weight @ (mean / std))
    return trained


TRAINERS: dict[str, Callable[..., Trained]] = {"all": train_all, "head": train_head}


def train(network: nn.Module, parts: Parts, member: Member, loss: LossName, *, seed: int, checkpoint: Path) -> Trained:
    """Train what of the network `member` says, in place.

    Raises:
        UserError: its head is to be trained and is not linear, or training diverges.

    """
    return TRAINERS[member.trainable](network, parts, member, loss, seed=seed, checkpoint=checkpoint)


def weights_file(store: Store, member: Member) -> Path | None:
    """Return the file that the member starts from; None: it starts from random weights.

    Raises:
        UserError: the file is not there.

    """
    return None if member.weights is None else store.input(f"data/raw/weights/{member.weights}")


def features(network: nn.Module, images: ImageSet, *, label: str) -> Tensor:
    """Compute what the network's classifier would see: float32 tensor of shape (images, width)."""
    network.to(memory_format=torch.channels_last).eval()
    chunks = torch.arange(len(images)).split(FEATURE_BATCH)
    width = network.get_classifier().in_features
    with torch.inference_mode():
        chunked = [
            network.forward_head(network.forward_features(images(rows)), pre_logits=True)
            for rows in tqdm(chunks, desc=f"features of {label}", unit="batch", disable=None)
            if len(rows)
        ]
    # A clone, because tensors of inference mode cannot take part in training.
    return torch.cat(chunked).clone() if chunked else torch.empty(0, width, device=images.device)


def _lookup(matrix: Tensor) -> Inputs:
    def inputs(rows: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG001 - features are not augmented
        return matrix[rows.to(matrix.device)]

    return inputs


def _fit(
    network: nn.Module,
    examples: Mapping[str, Examples],
    recipe: Recipe,
    loss: LossName,
    *,
    seed: int,
    checkpoint: Path,
) -> Trained:
    """Train a network in place on `train`, stopped by `validation`, and let it predict what is scored."""
    learnt = examples["train"]
    mass = (learnt.target * learnt.draws[:, None]).sum(0)
    chosen = make_loss(loss, mass / mass.sum())
    history = fit(network, learnt, examples["validation"], recipe, chosen, seed=seed, checkpoint=checkpoint)
    probabilities = {
        split: predict(network, examples[split].inputs, len(examples[split].target), batch_size=recipe.batch_size)
        for split in SCORED
    }
    return Trained(history, probabilities)
