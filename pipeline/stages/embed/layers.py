"""Layers: what a network sees on the way to its vector, and what a pass may leave out.

A vision transformer's block gives its class token and the mean of its patch tokens. Of another network, whose channels
are maps, a stage gives [pooled features of the last stage | mean | standard deviation of each channel over the map]:
the first says what an image shows in the terms of the training, the others of what texture it is. Of an image and its
mirror image the mean is taken there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import open_clip
import timm
import torch
from torch import Tensor, nn

from pipeline.core.errors import UserError

HALF_MAX = torch.finfo(torch.half).max  # a few channels of large transformers exceed it


class Seen(NamedTuple):
    """What a network makes of a batch.

    vectors: (n, d).
    layers: of each layer asked for (n, numbers): float16 of a transformer's, else float32.
    """

    vectors: Tensor
    layers: list[Tensor]


def look(network: nn.Module, images: Tensor, layers: Sequence[int]) -> Seen:
    """Pass images (n, 3, height, width) through a network and collect what the layers show, numbers rising."""
    if not layers:
        return Seen(network(images), [])
    if not is_transformer(network):
        return _look_twice(network, images, layers)
    if isinstance(network, open_clip.transformer.VisionTransformer):
        outputs = network.forward_intermediates(images, list(layers), output_fmt="NLC", output_extra_tokens=True)
        vectors, patches = outputs["image_features"], outputs["image_intermediates"]
        prefixes = outputs["image_intermediates_prefix"]
    else:
        last, pairs = network.forward_intermediates(images, list(layers), return_prefix_tokens=True, output_fmt="NLC")
        vectors, (patches, prefixes) = network.forward_head(last), zip(*pairs, strict=True)
    shown = [
        torch.cat([prefix[:, :1].flatten(1), tokens.mean(1)], dim=1)
        for prefix, tokens in zip(prefixes, patches, strict=True)
    ]
    return Seen(vectors, [each.float().clamp(-HALF_MAX, HALF_MAX).half() for each in shown])


def _look_twice(network: nn.Module, images: Tensor, layers: Sequence[int]) -> Seen:
    """Pass images and their mirror images through a network whose channels are maps."""
    last, stages = network.forward_intermediates(torch.cat([images, images.flip(3)]), indices=list(layers))
    pooled = network.forward_head(last, pre_logits=True)
    shown = [torch.cat([pooled, stage.mean((2, 3)), stage.std((2, 3))], dim=1) for stage in stages]
    vectors, *means = ((both[: len(images)] + both[len(images) :]) / 2 for both in (pooled, *shown))
    return Seen(vectors, [mean.float() for mean in means])


def is_transformer(network: nn.Module) -> bool:
    """Say whether a network's layers are blocks of tokens."""
    return isinstance(network, open_clip.transformer.VisionTransformer | timm.models.VisionTransformer)


def check_layers(network: nn.Module, layers: Sequence[int]) -> None:
    """Refuse layers that a network does not have.

    Raises:
        UserError: the network has fewer, or shows none.

    """
    if not layers:
        return
    if isinstance(network, open_clip.transformer.VisionTransformer):
        count = len(network.transformer.resblocks)
    elif isinstance(network, timm.models.VisionTransformer):
        count = len(network.blocks)
    elif hasattr(network, "forward_intermediates") and hasattr(network, "feature_info"):
        count = len(network.feature_info)
    else:
        raise UserError(f"the encoder's layers are {list(layers)}, and this network shows none: set them to []")
    if max(layers) >= count:
        raise UserError(f"the encoder's layers are {list(layers)}: the network's are 0 to {count - 1}")


class ClassTokenBlock(nn.Module):  # type: ignore[misc]  # mypy skips torch
    """The last block of a vision transformer, for the class token alone.

    Only that token leaves the tower, so the others need no MLP: the same vector, sooner.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, tokens: Tensor, attn_mask: None = None) -> Tensor:
        """Map tokens of shape (images, tokens, width) to (images, 1, width)."""
        block, normed = self.block, self.block.ln_1(tokens)
        attended, _ = block.attn(normed, normed, normed, need_weights=False, attn_mask=attn_mask)  # torch's fused path
        first = tokens[:, :1] + block.ls_1(attended[:, :1])
        return first + block.ls_2(block.mlp(block.ln_2(first)))


def skip_unused_tokens(network: nn.Module, layers: Sequence[int] = ()) -> None:
    """Replace the last block by `ClassTokenBlock` in a transformer that keeps the class token only.

    Args:
        network: any.
        layers: blocks of which all tokens are asked for.

    """
    if not isinstance(network, open_clip.transformer.VisionTransformer):
        return
    blocks = network.transformer.resblocks
    if len(blocks) - 1 in layers:
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
            f"the encoder's side_pixels is {side_pixels}: of open_clip only vision transformers take another, "
            "a multiple of their patches: set it to null in params.yaml"
        )
    rows, columns = network.grid_size
    grid = side_pixels // network.patch_size[0]
    first, rest = network.positional_embedding[:1], network.positional_embedding[1:]
    image = rest.T.reshape(1, -1, rows, columns)
    resized = nn.functional.interpolate(image, size=(grid, grid), mode="bicubic", antialias=True)
    network.positional_embedding = nn.Parameter(torch.cat([first, resized.flatten(2)[0].T]))
    network.image_size, network.grid_size = (side_pixels, side_pixels), (grid, grid)
