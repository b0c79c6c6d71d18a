"""Networks by timm name, with weights from a file and the preprocessing that those weights were made for.

A new backbone is an entry in params.yaml, never code.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from PIL.Image import Resampling
from torch import nn

from pipeline.core.errors import UserError
from pipeline.models.weights import (
    CLIP_TOWERS,
    Card,
    head_names,
    load_clip_tower,
    load_weights,
    read_card,
    save_weights,
    tensors_of,
    timm_preprocessing,
)


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its pixels: resampled by `resampling`, scaled to 0..1, less `mean`, over `std` (RGB)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resampling: Resampling


@dataclass(frozen=True)
class Network:
    """A module, the timm name of its backbone, and the preprocessing it wants."""

    module: nn.Module
    backbone: str
    preprocessing: Preprocessing


def build(backbone: str, *, classes: int, side_pixels: int | None, weights: Path | None, seed: int) -> Network:
    """Build a network with a fresh classifier.

    Args:
        backbone: a timm model name, with or without the tag of a training run.
        classes: width of the classifier.
        side_pixels: of the square input; None: as the weights were trained.
        weights: file of everything but the classifier, of a CLIP image tower that which its encoder reads; None
            starts from random weights.
        seed: of the random weights.

    Raises:
        UserError: timm has no such model, it takes another input side, or the file is not made for it.

    """
    if not timm.is_model(backbone):
        close = difflib.get_close_matches(architecture(backbone), timm.list_models(), n=3, cutoff=0.5)
        raise UserError(
            f"timm has no model {backbone} (named in params.yaml): the nearest are {', '.join(close) or 'none'}"
        )
    name = architecture(backbone)
    sized = {"img_size": side_pixels} if name in CLIP_TOWERS and side_pixels else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = timm.create_model(backbone, pretrained=False, num_classes=classes, **sized)
    # Equal probabilities to begin with: the large gradients of a random classifier spoil the backbone first.
    for layer in map(module.get_submodule, head_names(module)):
        for tensor in layer.parameters():
            nn.init.zeros_(tensor)
    card = timm_preprocessing(module)
    side = card["input_size"][-1]
    if module.default_cfg.get("fixed_input_size") and not sized and side_pixels not in {None, side}:
        raise UserError(
            f"{backbone} takes images of {side} pixels only, not {side_pixels}: correct side_pixels in params.yaml"
        )
    if weights is not None:
        of_tower = read_card(weights).model == CLIP_TOWERS.get(name)
        load = load_clip_tower if of_tower else load_weights
        load(module, weights, model=f"timm/{name}", without=head_names(module))
        card = read_card(weights).preprocessing
    return Network(module, backbone, describe(card))


def describe(card: Mapping[str, Any]) -> Preprocessing:
    """Read a weights file's description of its preprocessing."""
    return Preprocessing(tuple(card["mean"]), tuple(card["std"]), Resampling[card["interpolation"].upper()])


def save(network: Network, path: Path) -> None:
    """Write a trained network as a weights file, which can be another member's starting point."""
    used = {
        "mean": list(network.preprocessing.mean),
        "std": list(network.preprocessing.std),
        "interpolation": network.preprocessing.resampling.name.lower(),
    }
    card = Card(f"timm/{architecture(network.backbone)}", timm_preprocessing(network.module) | used)
    save_weights(path, tensors_of(network.module), card)


def architecture(backbone: str) -> str:
    """Return a timm model name without the tag of a training run."""
    return backbone.split(".", maxsplit=1)[0]
