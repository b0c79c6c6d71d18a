"""Have another network look at every image, so that `label_noise` has a second opinion."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.engine import map_shards
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.ingest.tables import Images
from pipeline.learn.levels import describe_pictures
from pipeline.learn.members import Device, build, prepare
from pipeline.learn.weights import name_weights
from pipeline.opinions.params import OpinionsParams, SecondNetwork
from pipeline.opinions.tables import Opinions

IMAGES_PER_TASK = 128


def run(store: Store, params: OpinionsParams, instance: str) -> None:
    """Read a batch's pixels, describe them in resumable pieces, write one description an image.

    Raises:
        UserError: the batch holds no image.

    """
    images = store.read(Images, instance)
    if params.network is None:
        nobody = images[["image_id"]].head(0).assign(network="")
        store.write(Opinions, nobody, instance=instance, vectors={"description": np.zeros((0, 1), np.float32)})
        return
    if images.empty:
        raise UserError("the batch has no accepted image to describe: see its rejects, or remove it from batches")
    chosen = params.network
    weights = store.input(f"data/raw/weights/{chosen.weights}")

    described = map_shards(
        partial(describe, network=chosen, weights=weights, batch_size=params.batch_size, device=params.device),
        store.pixels(images).pieces(IMAGES_PER_TASK),
        label="opinions",
        engine=params.engine,
        scratch=store.scratch(params, keep=f"opinions@{instance}"),
        workers=1,  # a network uses all cores by itself
    )

    name = f"timm/{chosen.backbone}/{name_weights(weights)}/{chosen.side_pixels}"
    store.write(
        Opinions,
        images[["image_id"]].assign(network=name),
        instance=instance,
        vectors={"description": np.concatenate(list(described))},
    )


def describe(
    pixels: Pixels, *, network: SecondNetwork, weights: Path, batch_size: int, device: Device
) -> np.ndarray[Any, Any]:
    """Load the network and describe one piece.

    Raises:
        UserError: the network is unknown, or the weights are of another.

    """
    place = prepare(device)
    built = build(network.backbone, classes=0, side_pixels=network.side_pixels, weights=weights, seed=0)
    return describe_pictures(pixels, built, side_pixels=network.side_pixels, batch_size=batch_size, device=place)
