"""Find images that show the same photograph or the same lesion, prove each finding, and split what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.stages.dedup.find import find_duplicates
from pipeline.stages.dedup.findings import conflicts, summarise
from pipeline.stages.dedup.groups import group_images
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.dedup.pictures import choose, draw
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import read_embeddings
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.tables import Images, open_pixels

Array = np.ndarray[Any, Any]


def run(store: Store, params: DedupParams) -> None:
    """Write Duplicates, Groups and the reports, over all batches."""
    images, flags, phash, vectors = read(store, params.batches, params.encoder)
    pixels = open_pixels(store, images)
    found = find_duplicates(
        images,
        flags,
        pixels=pixels,
        phash=phash,
        vectors=vectors,
        candidates=params.candidates,
        verifying=params.verify,
        engine=params.engine,
        scratch=store.scratch(params, keep="dedup"),
    )
    groups = group_images(images, found.edges, found.kept, params.split)
    contradicting = conflicts(found.edges, images)

    store.write(Duplicates, found.edges, vectors={"transform": found.transforms})
    store.write(Groups, groups)
    store.report("dedup/conflicts.csv", contradicting)
    store.report("dedup/summary.json", summarise(found.candidates, found.edges, groups, contradicting))
    chosen = choose(found.edges, contradicting, count=params.pictures)
    drawn = draw(found.edges, found.transforms, chosen, image_ids=images["image_id"].to_numpy(), pixels=pixels)
    with store.output("reports/dedup/pictures") as folder:
        folder.mkdir()
        for name, content in drawn:
            (folder / name).write_bytes(content)


def read(store: Store, batches: list[str], encoder: str) -> tuple[pd.DataFrame, pd.Series[Any], Array, Array]:
    """Read all batches, sorted by image_id.

    Returns:
        Images, quality flags, (images, 256) pHashes, (images, dimensions) embeddings.

    Raises:
        UserError: the batches were embedded by unlike encoders.

    """
    images, prints = store.read(Images, batches), store.read(Fingerprints, batches)
    _, vectors = read_embeddings(store, encoder, batches)
    order = np.argsort(images["image_id"].to_numpy().astype(str), kind="stable")
    images = images.iloc[order].reset_index(drop=True)
    flags = prints["flags"].iloc[order].reset_index(drop=True)
    phash = store.vectors(Fingerprints, "phash", batches)[order]
    return images, flags, phash, vectors[order]
