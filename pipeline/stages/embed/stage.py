"""Give every image vectors, so that later stages can look for neighbours and judge labels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.core.engine import map_shards
from pipeline.core.store import Store
from pipeline.stages.embed.encoders import Spec
from pipeline.stages.embed.encoding import encode, network_resources, pieces, settle
from pipeline.stages.embed.params import EmbedParams
from pipeline.stages.embed.tables import Embeddings, Layers, folder, lay_out
from pipeline.stages.ingest.tables import Images, open_pixels

BATCHES_PER_TASK = 16


def run(store: Store, params: EmbedParams, instance: str) -> None:
    """Read a batch's pixels, encode them in resumable pieces, write one vector an image, and what the layers show.

    Args:
        store: the project.
        params: of the encoder.
        instance: `<encoder>-<batch>`.

    """
    encoder, batch = instance.split("-")
    images = store.read(Images, batch)
    pixels = open_pixels(store, images)
    device = settle(params.device)
    spec = replace(Spec.of(params, store.input(f"data/raw/weights/{params.encoder.weights}")), device=device)
    resources = network_resources(device, params.engine)

    encoded = list(
        map_shards(
            partial(encode, spec=spec, batch_size=params.batch_size, threads=resources.cores),
            pieces(pixels, size=BATCHES_PER_TASK * params.batch_size),
            label=f"embed by {encoder}",
            engine=params.engine,
            scratch=store.scratch(params, keep=f"embed@{instance}"),
            resources=resources,
        )
    )

    store.write(
        Embeddings,
        images[["image_id"]].assign(encoder=spec.id),
        instance=folder(encoder, batch),
        vectors={"vector": np.concatenate([piece.vectors for piece in encoded])},
    )
    table, features = lay_out(
        images,
        np.concatenate([piece.features for piece in encoded]),
        layers=[f"{spec.id}/layer {number}" for number in spec.layers],
        widths=encoded[0].widths,
    )
    store.write(Layers, table, instance=folder(encoder, batch), vectors={"features": features})
