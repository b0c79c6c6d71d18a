"""Have further networks look at every image, so that `label_noise` has more than one opinion."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.engine import map_shards
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.core.table import lay_out
from pipeline.models.devices import Device, network_resources, settle
from pipeline.models.levels import describe_pictures
from pipeline.models.members import build, prepare
from pipeline.models.weights import name_weights
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.opinions.params import Network, OpinionsParams
from pipeline.stages.opinions.tables import Opinions

IMAGES_PER_TASK = 128


def run(store: Store, params: OpinionsParams, instance: str) -> None:
    """Read a batch's pixels, let each network describe them in resumable pieces, write one description an image.

    Raises:
        UserError: the batch holds no image.

    """
    images = store.read(Images, instance)
    if params.networks and images.empty:
        raise UserError("the batch has no accepted image to describe: see its rejects, or remove it from batches")
    names, described = [], []
    device = settle(params.device)
    scratch = store.scratch(params, keep=f"opinions@{instance}") if params.networks else None
    for number, network in enumerate(params.networks, 1):
        weights = store.input(f"data/raw/weights/{network.weights}")
        resources = network_resources(device, params.engine)
        view = partial(describe, batch_size=params.batch_size, device=device, threads=resources.cores)
        found = map_shards(
            partial(view, network=network, weights=weights),
            open_pixels(store, images).pieces(IMAGES_PER_TASK),
            label=f"opinion {number} of {len(params.networks)}",
            engine=params.engine,
            scratch=scratch,
            resources=resources,
        )
        described.append(np.concatenate(list(found)))
        names.append(f"timm/{network.backbone}/{name_weights(weights)}/{network.side_pixels}")

    side_by_side = np.hstack([np.zeros((len(images), 0), np.float32), *described])
    table, matrix = lay_out(images, side_by_side, networks=names, widths=[view.shape[1] for view in described])
    store.write(Opinions, table, instance=instance, vectors={"description": matrix})


def describe(
    pixels: Pixels, *, network: Network, weights: Path, batch_size: int, device: Device, threads: int
) -> np.ndarray[Any, Any]:
    """Load the network and describe one piece.

    Raises:
        UserError: the network is unknown, or the weights are of another.

    """
    place = prepare(device, threads=threads)
    built = build(network.backbone, classes=0, side_pixels=network.side_pixels, weights=weights, seed=0)
    return describe_pictures(pixels, built, side_pixels=network.side_pixels, batch_size=batch_size, device=place)
