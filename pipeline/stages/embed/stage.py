"""Give every image a vector, so that later stages can look for neighbours and judge labels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.core.engine import map_shards
from pipeline.core.store import Store
from pipeline.core.table import lay_out
from pipeline.models.devices import network_resources, settle
from pipeline.models.weights import name_weights
from pipeline.stages.embed.encoders import Spec
from pipeline.stages.embed.encoding import encode, pieces
from pipeline.stages.embed.params import EmbedParams
from pipeline.stages.embed.tables import Embeddings, Levels
from pipeline.stages.ingest.tables import Images, open_pixels

BATCHES_PER_TASK = 16


def run(store: Store, params: EmbedParams, instance: str) -> None:
    """Read a batch's pixels, encode them in resumable pieces, write one vector an image, and what the levels show."""
    images = store.read(Images, instance)
    pixels = open_pixels(store, images)
    weights = store.input(f"data/raw/weights/{params.encoder.weights}")
    device = settle(params.device)
    spec = replace(Spec.of(params, weights), device=device)
    resources = network_resources(device, params.engine)

    found = map_shards(
        partial(encode, spec=spec, batch_size=params.batch_size, threads=resources.cores),
        pieces(pixels, size=BATCHES_PER_TASK * params.batch_size),
        label="embed",
        engine=params.engine,
        scratch=store.scratch(params, keep=f"embed@{instance}"),
        resources=resources,
    )

    encoded = list(found)
    encoder = f"{spec.library}/{spec.model}/{name_weights(weights)}/{spec.precision}/{spec.side_pixels or 'native'}"
    store.write(
        Embeddings,
        images[["image_id"]].assign(encoder=encoder),
        instance=instance,
        vectors={"vector": np.concatenate([piece.vectors for piece in encoded])},
    )
    levels = np.concatenate([piece.levels for piece in encoded])
    names = [f"{encoder}/block {level}" for level in spec.levels]
    widths = [levels.shape[1] // len(names) for _ in names]
    table, matrix = lay_out(images, levels, networks=names, widths=widths)
    store.write(Levels, table, instance=instance, vectors={"description": matrix})
