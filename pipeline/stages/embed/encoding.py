"""Pass images through an encoder, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from pipeline.core.engine import Engine, Resources, machine_cores
from pipeline.core.errors import UserError
from pipeline.core.params import Device
from pipeline.core.progress import within
from pipeline.core.shards import Pixels
from pipeline.models.devices import choose, prepare
from pipeline.stages.embed.encoders import Spec, Transform, load
from pipeline.stages.embed.layers import look
from pipeline.stages.embed.tables import Features

DECODING_THREADS = 4
FEEDING_CORES = 4  # decode and preprocess for a GPU


class Encoded(NamedTuple):
    """What an encoder makes of images.

    vectors: (n, d) float32 of unit norm.
    features: (n, numbers), of each layer in turn, as `look` gives them.
    widths: how many numbers are each layer's.
    """

    vectors: NDArray[np.float32]
    features: Features
    widths: tuple[int, ...]


def settle(device: Device) -> Device:
    """Say what `auto` means, once for all workers: CUDA if the machine that runs the stage has it."""
    return choose(device).type if device == "auto" else device


def network_resources(device: Device, engine: Engine) -> Resources:
    """Say what a task with a network takes: a GPU and cores that feed it, or all cores of a machine, which it can use.

    Args:
        device: settled.
        engine: whose machines are meant.

    Raises:
        UserError: the engine's cluster does not answer.

    """
    cores = machine_cores(engine)
    return Resources(min(FEEDING_CORES, cores), gpus=1) if device == "cuda" else Resources(cores)


def encode(pixels: Pixels, spec: Spec, *, batch_size: int, threads: int | None = None) -> Encoded:
    """Compute one unit vector an image, and what the layers asked for show.

    Args:
        pixels: of the images.
        spec: of the encoder.
        batch_size: images in one pass.
        threads: of this process that share one operation, and results are repeatable; None: as torch likes.

    Raises:
        UserError: the encoder is unknown, its weights are missing or of another network.

    """
    if threads is not None:
        prepare(spec.device, threads=threads)
    encoder = load(spec)
    vectors, layers = [], []
    with torch.inference_mode():
        count = -(-len(pixels) // batch_size)
        for batch in within(batches(pixels, encoder.transform, batch_size=batch_size), count):
            seen = look(encoder.network, batch.to(encoder.device, encoder.dtype), spec.layers)
            vectors.append(seen.vectors.float().cpu())
            layers.append([layer.cpu() for layer in seen.layers])
        unit = nn.functional.normalize(torch.cat(vectors), dim=1)
    widths = tuple(layer.shape[1] for layer in layers[0])
    if not widths:
        return Encoded(unit.numpy(), np.zeros((len(unit), 0), np.float16), widths)
    return Encoded(unit.numpy(), torch.cat([torch.cat(of_batch, dim=1) for of_batch in layers]).numpy(), widths)


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
