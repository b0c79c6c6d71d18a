"""Load networks that turn images into vectors, with the preprocessing that their weights were trained with.

An encoder never has random weights: it is filled from a file that says which network it belongs to, strictly.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import open_clip
import timm
import torch
from PIL import Image
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.params import Device
from pipeline.models.devices import choose
from pipeline.models.members import Preprocessing, build
from pipeline.models.weights import load_weights, name_weights, read_card
from pipeline.stages.embed.layers import check_layers, resize_input, skip_unused_tokens
from pipeline.stages.embed.params import EmbedParams

Transform = Callable[[Image.Image], torch.Tensor]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "arm_bf16")


@dataclass(frozen=True)
class Spec:
    """What an encoder is made of; small and picklable, so that each worker loads its own."""

    library: str
    model: str
    weights: Path
    precision: str
    device: Device
    side_pixels: int | None
    layers: tuple[int, ...] = ()

    @classmethod
    def of(cls, params: EmbedParams, weights: Path) -> Self:
        """Take what the stage's params say, and the file with the weights."""
        chosen = params.encoder
        return cls(
            chosen.library,
            chosen.model,
            weights,
            params.precision,
            params.device,
            chosen.side_pixels,
            tuple(chosen.layers),
        )

    @property
    def id(self) -> str:
        """Library, model, weights, precision and side: what another vector must share to be compared."""
        side = self.side_pixels or "native"
        return f"{self.library}/{self.model}/{name_weights(self.weights)}/{self.precision}/{side}"


@dataclass(frozen=True)
class Encoder:
    """A network in evaluation mode, and the transform of its input."""

    network: nn.Module
    transform: Transform
    device: torch.device
    dtype: torch.dtype


@lru_cache(maxsize=1)
def load(spec: Spec) -> Encoder:
    """Build a network and fill it with its weights; kept for the next call of this process.

    Warns of a precision that the device only emulates: it is not replaced, since vectors of two are never compared.

    Raises:
        UserError: the encoder is unknown, or its weights are of another network.

    """
    device = choose(spec.device)
    if spec.precision == "bf16" and not computes_in_bf16(device):
        warnings.warn(
            "embed.precision is bf16, which this device only emulates, several times slower than fp32: "
            "unless vectors are to be compared with others in bf16, set it to fp32 in params.yaml",
            stacklevel=2,
        )
    dtype = PRECISIONS[spec.precision]
    network, transform = LIBRARIES[spec.library](spec)
    check_layers(network, spec.layers)
    return Encoder(network.eval().requires_grad_(False).to(device, dtype), transform, device, dtype)


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in BF16_INSTRUCTIONS)


def _open_clip(spec: Spec) -> tuple[nn.Module, Transform]:
    if spec.model not in open_clip.list_models():
        raise UserError(
            f"open_clip has no model {spec.model} (named in params.yaml): choose one of open_clip.list_models()"
        )
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # open_clip warns of random weights, which we replace below
    try:
        network = open_clip.create_model(spec.model, load_weights=False, pretrained_text=False).visual
    finally:
        root.setLevel(level)
    load_weights(network, spec.weights, model=f"open_clip/{spec.model}")
    skip_unused_tokens(network, spec.layers)
    preprocessing = open_clip.transform.PreprocessCfg(**read_card(spec.weights).preprocessing)
    if spec.side_pixels is not None:
        resize_input(network, spec.side_pixels)
        preprocessing = replace(preprocessing, size=spec.side_pixels)
    return network, open_clip.transform.image_transform_v2(preprocessing, is_train=False)


def _timm(spec: Spec) -> tuple[nn.Module, Transform]:
    network = build(spec.model, classes=0, side_pixels=spec.side_pixels, weights=spec.weights, seed=0)
    if spec.side_pixels is None:
        return network.module, timm.data.create_transform(**read_card(spec.weights).preprocessing)
    return network.module, partial(squeeze, side_pixels=spec.side_pixels, preprocessing=network.preprocessing)


def squeeze(image: Image.Image, *, side_pixels: int, preprocessing: Preprocessing) -> torch.Tensor:
    """Squeeze a whole image into a square and normalise it: (3, side, side) float32."""
    squeezed = image.resize((side_pixels, side_pixels), preprocessing.resampling)
    scaled = torch.from_numpy(np.asarray(squeezed, dtype=np.float32) / 255)
    return ((scaled - torch.tensor(preprocessing.mean)) / torch.tensor(preprocessing.std)).permute(2, 0, 1)


LIBRARIES: dict[str, Callable[[Spec], tuple[nn.Module, Transform]]] = {"open_clip": _open_clip, "timm": _timm}
