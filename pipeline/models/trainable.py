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
from pipeline.models.params import Member, Recipe

Probabilities = NDArray[np.float64]
FEATURE_BATCH = 64
SCORED = ("validation", "test")


@dataclass(frozen=True)
class Part:
    """One split: images, the class of each (int) and its weight in the loss (float32)."""

    images: ImageSet
    actual: NDArray[np.integer]
    weight: NDArray[np.float32]

    def examples(self, inputs: Inputs) -> Examples:
        """Pair some form of the images with classes and weights."""
        return Examples(
            inputs, torch.tensor(self.actual, dtype=torch.int64), torch.tensor(self.weight, dtype=torch.float32)
        )


Parts = Mapping[str, Part]  # by split: train, validation, test


@dataclass(frozen=True)
class Trained:
    """History, and for validation and test the probabilities (rows, classes)."""

    history: list[Epoch]
    probabilities: dict[str, Probabilities]


def train_all(network: nn.Module, parts: Parts, recipe: Recipe, *, seed: int, checkpoint: Path) -> Trained:
    """Train every layer, in place."""
    network.to(memory_format=torch.channels_last)  # twice as fast on a CPU as the default layout
    examples = {split: part.examples(part.images) for split, part in parts.items()}
    history = fit(network, examples["train"], examples["validation"], recipe, seed=seed, checkpoint=checkpoint)
    return Trained(history, _predictions(network, examples, recipe))


def train_head(network: nn.Module, parts: Parts, recipe: Recipe, *, seed: int, checkpoint: Path) -> Trained:
    """Train a linear head on standardised features, and put it into the network in place.

    Raises:
        UserError: the network's classifier is not linear.

    """
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        name = network.default_cfg["architecture"]
        raise UserError(
            f"{name} has no linear classifier: set trainable: all in params.yaml, or choose another backbone"
        )
    raw = {split: features(network, part.images, label=split) for split, part in parts.items()}
    std, mean = torch.std_mean(raw["train"], 0, correction=0)
    std = std.clamp(min=1e-6)  # a feature that never varies says nothing
    head = nn.Linear(classifier.in_features, classifier.out_features).to(std.device)
    head.load_state_dict(classifier.state_dict())
    examples = {split: part.examples(_lookup((raw[split] - mean) / std)) for split, part in parts.items()}
    history = fit(head, examples["train"], examples["validation"], recipe, seed=seed, checkpoint=checkpoint)
    with torch.no_grad():
        classifier.weight.copy_(head.weight / std)
        classifier.bias.copy_(head.bias - head.weight @ (mean / std))
    return Trained(history, _predictions(head, examples, recipe))


TRAINERS: dict[str, Callable[..., Trained]] = {"all": train_all, "head": train_head}


def train(network: nn.Module, parts: Parts, member: Member, *, seed: int, checkpoint: Path) -> Trained:
    """Train what of the network `member` says, in place.

    Raises:
        UserError: its head is to be trained and is not linear, or training diverges.

    """
    return TRAINERS[member.trainable](network, parts, member, seed=seed, checkpoint=checkpoint)


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


def _predictions(network: nn.Module, examples: Mapping[str, Examples], recipe: Recipe) -> dict[str, Probabilities]:
    return {
        split: predict(network, examples[split].inputs, len(examples[split].actual), batch_size=recipe.batch_size)
        for split in SCORED
    }
