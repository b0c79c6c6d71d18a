"""Pixels for training: every image is decoded once, and augmented in whole batches of tensors.

Decoding costs more than a training step of a small network, so images are kept as small 8-bit squares. The whole
image is squeezed into the square: a centre crop would cut the lesion's border, which is what tells melanoma.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from pipeline.core.progress import track
from pipeline.core.shards import Pixels
from pipeline.models.members import Preprocessing

MARGIN = 1.15  # stored side by input side: room for random crops without loss of detail
MAX_BYTES_IN_MEMORY = 2 << 30  # beyond it images live in a file that the system pages in

Stored = NDArray[np.uint8]  # (n, side, side, 3), RGB
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """Bounds of what is drawn at random for each image; mirror images and quarter turns are always among it.

    min_area: of the crop, as a share of the image.
    max_aspect: of the crop, longer by shorter side.
    max_turn_degrees: either way, beyond the quarter turn.
    brightness, contrast, saturation: factors are drawn from 1 ± this.
    """

    min_area: float
    max_aspect: float
    max_turn_degrees: float
    brightness: float
    contrast: float
    saturation: float


AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "light": Augmentation(0.7, 1.1, 0.0, 0.1, 0.1, 0.1),
    "strong": Augmentation(0.4, 4 / 3, 45.0, 0.3, 0.3, 0.3),
}


# Symmetries of the square, by which a network's probabilities may be averaged: no side of a lesion is up.
FLIPS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda batch: batch,
    lambda batch: batch.flip(3),
    lambda batch: batch.flip(2),
    lambda batch: batch.flip(2, 3),
)
VIEWS: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "none": FLIPS[:1],
    "flips": FLIPS,
    "dihedral": (*FLIPS, *(lambda batch, flip=flip: flip(batch.transpose(2, 3)) for flip in FLIPS)),
}


def stored_side(side_pixels: int, augmentation: Augmentation | None) -> int:
    """Side at which images are kept."""
    return side_pixels if augmentation is None else round(side_pixels * MARGIN)


def load_images(pixels: Pixels, side: int, preprocessing: Preprocessing, *, scratch: Path, label: str) -> Stored:
    """Decode and resize: uint8 array of shape (n, side, side, 3), RGB; in a file of `scratch` if it is large."""
    shape = (len(pixels), side, side, 3)
    images: Stored
    if math.prod(shape) > MAX_BYTES_IN_MEMORY:
        images = np.lib.format.open_memmap(scratch / f"{label}.npy", mode="w+", dtype=np.uint8, shape=shape)
    else:
        images = np.empty(shape, np.uint8)

    def load(position: int) -> None:
        image = Image.fromarray(pixels[position])
        images[position] = np.asarray(image.resize((side, side), preprocessing.resampling))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in track(pool.map(load, range(len(pixels))), f"decode {label}", unit="images", total=len(pixels)):
            pass
    return images


@dataclass(frozen=True)
class ImageSet:
    """Images as a network takes them.

    Args:
        stored: from `load_images`.
        side: of the network's input.
        preprocessing: the network's.
        augmentation: what may be drawn at random.
        device: where batches are wanted.
        chosen: positions in `stored`; None: all of them.

    """

    stored: Stored
    side: int
    preprocessing: Preprocessing
    augmentation: Augmentation | None
    device: torch.device
    chosen: Rows | None = None

    def __len__(self) -> int:
        return len(self.stored if self.chosen is None else self.chosen)

    def take(self, rows: Rows) -> ImageSet:
        """Choose some of them, without copying pixels."""
        return replace(self, chosen=rows if self.chosen is None else self.chosen[rows])

    def __call__(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Take a batch of shape (rows, 3, side, side), channels last; augmented if a generator is given."""
        positions = rows.numpy() if self.chosen is None else self.chosen[rows.numpy()]
        batch = torch.from_numpy(self.stored[positions]).to(self.device).permute(0, 3, 1, 2).float() / 255
        if generator is not None and self.augmentation is not None:
            batch = augment(batch, self.augmentation, side=self.side, generator=generator)
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in self._moments())
        return ((batch - mean) / std).contiguous(memory_format=torch.channels_last)

    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.preprocessing.mean, self.preprocessing.std


def augment(batch: Tensor, bounds: Augmentation, *, side: int, generator: torch.Generator) -> Tensor:
    """Draw a crop, a turn, a mirror image and a change of colour for every image, by kornia.

    Args:
        batch: (n, 3, height, width), 0 to 1.
        bounds: of what is drawn.
        side: of the result.
        generator: on the CPU, so that every device gets the same numbers.

    """
    with torch.random.fork_rng(devices=[]):  # kornia draws from torch's own generator, which others draw from too
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        augmented: Tensor = _augmenter(bounds, side)(batch)
    return augmented.clamp(0, 1)


@cache
def _augmenter(bounds: Augmentation, side: int) -> nn.Sequential:
    from kornia import augmentation as kornia  # noqa: PLC0415 - takes a second, which heads and probes need not wait

    aspects, odd = (1 / bounds.max_aspect, bounds.max_aspect), bounds.max_turn_degrees
    return nn.Sequential(
        kornia.RandomResizedCrop((side, side), (bounds.min_area, 1.0), aspects, cropping_mode="resample"),
        kornia.RandomHorizontalFlip(),
        kornia.RandomRotation90((0, 3), p=1.0),
        kornia.RandomAffine(odd, padding_mode="reflection", p=1.0) if odd else nn.Identity(),
        kornia.ColorJitter(bounds.brightness, bounds.contrast, bounds.saturation, p=1.0),
    )
