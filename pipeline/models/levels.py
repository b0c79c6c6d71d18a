"""A picture as a pretrained network describes it, by what it shows and by its texture.

The last level says what a picture shows, in the terms of the network's training; the mean and the spread of every
channel one resolution earlier say of what texture it is, and on skin that tells as much. Of a picture and its mirror
image the mean is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.models.members import Network

TEXTURE_LEVEL = -2  # of the resolutions that timm lists: half a step before the last

Array = np.ndarray[Any, Any]


def describe_pictures(
    pixels: Pixels, network: Network, *, side_pixels: int, batch_size: int, device: torch.device
) -> Array:
    """Describe pictures: float32 (images, width of the last level + 2 x channels of the texture level).

    Args:
        pixels: of the pictures.
        network: pretrained, its classifier unused.
        side_pixels: of the square that a whole picture is squeezed into.
        batch_size: pictures in one pass, mirrored ones not counted.
        device: where to compute.

    Raises:
        UserError: timm offers no intermediate levels of the network.

    """
    module = network.module.eval().to(device)
    if not hasattr(module, "forward_intermediates"):
        raise UserError(
            f"{network.backbone} shows no intermediate levels: choose another backbone in opinions.networks"
        )
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            rows = range(start, min(start + batch_size, len(pixels)))
            upright = torch.stack([_tensor(pixels[i], network, side_pixels) for i in rows]).to(device)
            described = _describe(module, torch.cat([upright, upright.flip(3)]))
            parts.append(((described[: len(rows)] + described[len(rows) :]) / 2).float().cpu().numpy())
    return np.concatenate(parts)


def _describe(module: Any, batch: Tensor) -> Tensor:  # noqa: ANN401 - timm's networks have no common type
    last, (texture,) = module.forward_intermediates(batch, indices=[TEXTURE_LEVEL])
    shown = module.forward_head(last, pre_logits=True)
    return torch.cat([shown, texture.mean((2, 3)), texture.std((2, 3))], dim=1)


def _tensor(picture: Array, network: Network, side_pixels: int) -> Tensor:
    """Squeeze and normalise one picture: (3, side, side)."""
    wants = network.preprocessing
    squeezed = Image.fromarray(picture).resize((side_pixels, side_pixels), wants.resampling)
    scaled = torch.from_numpy(np.asarray(squeezed, dtype=np.float32) / 255)
    return ((scaled - torch.tensor(wants.mean)) / torch.tensor(wants.std)).permute(2, 0, 1)
