"""Vision transformers: what their blocks see on the way, and what a pass may leave out."""

from __future__ import annotations

from collections.abc import Sequence

import open_clip
import timm
import torch
from torch import nn

from pipeline.core.errors import UserError


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
