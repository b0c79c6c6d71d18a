"""Pass pictures through an encoder, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.stages.embed.encoders import Spec, Transform, load
from pipeline.stages.embed.towers import look

Vectors = np.ndarray[Any, Any]

DECODING_THREADS = 4
HALF_MAX = torch.finfo(torch.half).max  # a few channels of large networks exceed it


class Encoded(NamedTuple):
    """What an encoder makes of images.

    vectors: (n, d) float32 of unit norm.
    levels: (n, numbers) float16, of each level in turn, as `look` gives them.
    """

    vectors: Vectors
    levels: Vectors


def encode(pixels: Pixels, spec: Spec, *, batch_size: int, threads: int | None = None) -> Encoded:
    """Compute one unit vector an image, and what the levels asked for show.

    Args:
        pixels: of the images.
        spec: of the encoder.
        batch_size: images in one pass.
        threads: of this process that share one operation; None: as many as torch likes.

    Raises:
        UserError: the encoder is unknown, its weights are missing or of another network.

    """
    if threads is not None:
        torch.set_num_threads(threads)
    encoder = load(spec)
    vectors, levels = [], []
    with torch.inference_mode():
        for batch in batches(pixels, encoder.transform, batch_size=batch_size):
            seen, described = look(encoder.network, batch.to(encoder.device, encoder.dtype), spec.levels)
            vectors.append(seen.float().cpu())
            levels.append(described.float().clamp(-HALF_MAX, HALF_MAX).half().cpu())
        unit = nn.functional.normalize(torch.cat(vectors), dim=1)
    return Encoded(unit.numpy(), torch.cat(levels).numpy())


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
