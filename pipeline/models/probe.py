"""A linear probe: softmax regression on features that are there already, in seconds and without a look at a pixel.

p(k | image) ∝ exp(w_k · f(image) + b_k)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.core.params import Device
from pipeline.models.devices import prepare
from pipeline.models.params import LossName, Recipe
from pipeline.models.trainable import Targets, Trained, train_linear
from pipeline.models.weights import Card, save_weights, tensors_of


def train_probe(
    features: Mapping[str, NDArray[np.float32]],
    targets: Mapping[str, Targets],
    recipe: Recipe,
    loss: LossName,
    *,
    device: Device,
    seed: int,
    checkpoint: Path,
) -> tuple[nn.Linear, Trained]:
    """Train a linear layer on train and let it predict the others.

    Args:
        features: by split, (images, features).
        targets: by split, of the same images.
        recipe: hyperparameters.
        loss: which.
        device: where to train.
        seed: of the order of the images.
        checkpoint: file that keeps finished epochs.

    Raises:
        UserError: training diverges.

    """
    place = prepare(device)
    probe = nn.Linear(features["train"].shape[1], targets["train"].target.shape[1]).to(place)
    for tensor in probe.parameters():
        nn.init.zeros_(tensor)
    inputs = {split: torch.tensor(matrix, device=place) for split, matrix in features.items()}
    return probe, train_linear(probe, inputs, targets, recipe, loss, seed=seed, checkpoint=checkpoint)


def save_probe(probe: nn.Linear, features: str, path: Path) -> None:
    """Write a probe as a weights file; its card names the features that it is for."""
    save_weights(path, tensors_of(probe), Card(f"probe/{features}", {}))
