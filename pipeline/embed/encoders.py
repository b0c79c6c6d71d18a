"""Networks that turn pictures into vectors, with the preprocessing that their weights were trained with.

An encoder never has random weights: it is filled from a file that says which network it belongs to, strictly.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import open_clip
import timm
import torch
from PIL import Image
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.embed.params import EmbedParams
from pipeline.learn.weights import head_names, load_weights, read_card

Vectors = np.ndarray[Any, Any]
Transform = Callable[[Image.Image], torch.Tensor]

DECODING_THREADS = 4
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
HALF_MAX = torch.finfo(torch.half).max  # a few channels of large networks exceed it
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "arm_bf16")


@dataclass(frozen=True)
class Spec:
    """What an encoder is made of; small and picklable, so that each worker loads its own."""

    library: str
    model: str
    weights: Path
    precision: str
    device: str
    side_pixels: int | None
    levels: tuple[int, ...] = ()

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
            tuple(params.levels),
        )


@dataclass(frozen=True)
class Encoder:
    """A network in evaluation mode, and the transform of its input."""

    network: nn.Module
    transform: Transform
    device: torch.device
    dtype: torch.dtype


class Encoded(NamedTuple):
    """What an encoder makes of images.

    vectors: (n, d) float32 of unit norm.
    levels: (n, numbers) float16, of each level in turn, as `look` gives them.
    """

    vectors: Vectors
    levels: Vectors


def encode(pixels: Pixels, spec: Spec, *, batch_size: int) -> Encoded:
    """Compute one unit vector an image, and what the levels asked for show.

    Raises:
        UserError: the encoder is unknown, its weights are missing or of another network.

    """
    encoder = load(spec)
    vectors, levels = [], []
    with torch.inference_mode():
        for batch in batches(pixels, encoder.transform, batch_size=batch_size):
            seen, described = look(encoder.network, batch.to(encoder.device, encoder.dtype), spec.levels)
            vectors.append(seen.float().cpu())
            levels.append(described.float().clamp(-HALF_MAX, HALF_MAX).half().cpu())
        unit = nn.functional.normalize(torch.cat(vectors), dim=1)
    return Encoded(unit.numpy(), torch.cat(levels).numpy())


def look(network: nn.Module, images: torch.Tensor, levels: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pass images through a network once.

    Args:
        network: any; a vision transformer where levels are asked for.
        images: (n, 3, height, width).
        levels: numbers of blocks, rising.

    Returns:
        vectors (n, d), and of each level in turn the class token, where there is one, and the mean patch token:
        (n, numbers).

    """
    if not levels:
        vectors = network(images)
        return vectors, vectors[:, :0]
    if isinstance(network, open_clip.transformer.VisionTransformer):
        found = network.forward_intermediates(images, list(levels), output_fmt="NLC", output_extra_tokens=True)
        vectors, tokens = found["image_features"], found["image_intermediates"]
        prefixes = found["image_intermediates_prefix"]
    else:
        last, pairs = network.forward_intermediates(images, list(levels), return_prefix_tokens=True, output_fmt="NLC")
        vectors, (tokens, prefixes) = network.forward_head(last), zip(*pairs, strict=True)
    described = [
        part for prefix, patches in zip(prefixes, tokens, strict=True) for part in (prefix[:, :1], patches.mean(1))
    ]
    return vectors, torch.cat([part.flatten(1) for part in described], dim=1)


def pieces(pixels: Pixels, *, size: int) -> list[Pixels]:
    """Cut images into pieces of `size`, in order.

    Raises:
        UserError: there is no image, so no vector's width is known.

    """
    if not len(pixels):
        raise UserError("the batch has no accepted image to embed: see its rejects, or remove it from batches")
    return pixels.pieces(size)


def batches(pixels: Pixels, transform: Transform, *, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield preprocessed batches of shape (images, 3, height, width); the next is prepared while one is in use."""

    def prepare(position: int) -> torch.Tensor:
        return transform(Image.fromarray(pixels[position]))

    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        upcoming: list[Future[torch.Tensor]] = []
        for start in range(0, len(pixels), batch_size):
            positions = range(start, min(start + batch_size, len(pixels)))
            current, upcoming = upcoming, [pool.submit(prepare, i) for i in positions]
            if current:
                yield torch.stack([future.result() for future in current])
        if upcoming:
            yield torch.stack([future.result() for future in upcoming])


@lru_cache(maxsize=1)
def load(spec: Spec) -> Encoder:
    """Build a network and fill it with its weights; kept for the next call of this process.

    Warns of a precision that the device only emulates: it is not replaced, since vectors of two are never compared.

    Raises:
        UserError: the encoder is unknown, or its weights are of another network.

    """
    device = resolve(spec.device)
    if spec.precision == "bf16" and not computes_in_bf16(device):
        warnings.warn(
            "embed.precision is bf16, which this device only emulates, several times slower than fp32: "
            "unless vectors are to be compared with others in bf16, set it to fp32 in params.yaml",
            stacklevel=2,
        )
    dtype = PRECISIONS[spec.precision]
    network, transform = LIBRARIES[spec.library](spec)
    check_levels(network, spec.levels)
    return Encoder(network.eval().requires_grad_(False).to(device, dtype), transform, device, dtype)


def resolve(device: str) -> torch.device:
    """Choose the device: `auto` is CUDA where there is one.

    Raises:
        UserError: CUDA is asked for and absent.

    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("embed.device is cuda, but no CUDA device is available: set it to auto or cpu in params.yaml")
    return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in BF16_INSTRUCTIONS)


class ClassTokenBlock(nn.Module):  # type: ignore[misc]  # mypy skips torch
    """The last block of a vision transformer, for the class token alone.

    Only that token leaves the tower, so the others need no MLP: the same vector, sooner.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, tokens: torch.Tensor, attn_mask: None = None) -> torch.Tensor:
        """Map tokens of shape (images, tokens, width) to (images, 1, width)."""
        block, seen = self.block, self.block.ln_1(tokens)
        attended, _ = block.attn(seen, seen, seen, need_weights=False, attn_mask=attn_mask)  # torch's fused path
        first = tokens[:, :1] + block.ls_1(attended[:, :1])
        return first + block.ls_2(block.mlp(block.ln_2(first)))


def check_levels(network: nn.Module, levels: Sequence[int]) -> None:
    """Refuse levels that a network does not have.

    Raises:
        UserError: the network is no vision transformer, or has fewer blocks.

    """
    if not levels:
        return
    if isinstance(network, open_clip.transformer.VisionTransformer):
        blocks = len(network.transformer.resblocks)
    elif isinstance(network, timm.models.VisionTransformer):
        blocks = len(network.blocks)
    else:
        raise UserError(f"embed.levels is {list(levels)}: only vision transformers have such: set it to []")
    if max(levels) >= blocks:
        raise UserError(f"embed.levels is {list(levels)}: the network's blocks are 0 to {blocks - 1}")


def skip_unused_tokens(network: nn.Module, levels: Sequence[int] = ()) -> None:
    """Replace the last block by `ClassTokenBlock` in a transformer that keeps the class token only.

    Args:
        network: any.
        levels: blocks of which all tokens are asked for.

    """
    if not isinstance(network, open_clip.transformer.VisionTransformer):
        return
    blocks = network.transformer.resblocks
    if len(blocks) - 1 in levels:
        return
    plain = type(blocks[-1]) is open_clip.transformer.ResidualAttentionBlock
    if plain and network.pool_type == "tok" and network.attn_pool is None and not network.output_tokens:
        blocks[-1] = ClassTokenBlock(blocks[-1])


def resize_input(network: nn.Module, side_pixels: int) -> None:
    """Interpolate a vision transformer's position embeddings for another input side, as Dosovitskiy et al. 2021 do.

    Raises:
        UserError: the network is no open_clip vision transformer, or the side is no multiple of its patches.

    """
    if not isinstance(network, open_clip.transformer.VisionTransformer) or side_pixels % network.patch_size[0]:
        raise UserError(
            f"embed.encoder.side_pixels is {side_pixels}: only open_clip's vision transformers take another, "
            "a multiple of their patches: set it to null in params.yaml"
        )
    rows, columns = network.grid_size
    grid = side_pixels // network.patch_size[0]
    first, rest = network.positional_embedding[:1], network.positional_embedding[1:]
    image = rest.T.reshape(1, -1, rows, columns)
    resized = nn.functional.interpolate(image, size=(grid, grid), mode="bicubic", antialias=True)
    network.positional_embedding = nn.Parameter(torch.cat([first, resized.flatten(2)[0].T]))
    network.image_size, network.grid_size = (side_pixels, side_pixels), (grid, grid)


def _open_clip(spec: Spec) -> tuple[nn.Module, Transform]:
    if spec.model not in open_clip.list_models():
        raise UserError(f"embed.encoder.model: open_clip knows no {spec.model}: choose one of open_clip.list_models()")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # open_clip warns of random weights, which we replace below
    try:
        network = open_clip.create_model(spec.model, load_weights=False, pretrained_text=False).visual
    finally:
        root.setLevel(level)
    load_weights(network, spec.weights, model=f"open_clip/{spec.model}")
    skip_unused_tokens(network, spec.levels)
    preprocessing = open_clip.transform.PreprocessCfg(**read_card(spec.weights).preprocessing)
    if spec.side_pixels is not None:
        resize_input(network, spec.side_pixels)
        preprocessing = replace(preprocessing, size=spec.side_pixels)
    return network, open_clip.transform.image_transform_v2(preprocessing, is_train=False)


def _timm(spec: Spec) -> tuple[nn.Module, Transform]:
    if spec.side_pixels is not None:
        raise UserError("embed.encoder.side_pixels is for open_clip only: set it to null in params.yaml")
    try:
        network = timm.create_model(spec.model, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise UserError(f"embed.encoder.model: timm knows no {spec.model}: choose one of timm.list_models()") from error
    load_weights(network, spec.weights, model=f"timm/{spec.model}", without=head_names(network))
    return network, timm.data.create_transform(**read_card(spec.weights).preprocessing)


LIBRARIES: dict[str, Callable[[Spec], tuple[nn.Module, Transform]]] = {"open_clip": _open_clip, "timm": _timm}
