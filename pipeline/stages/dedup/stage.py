"""Find images that show the same photograph or the same lesion, prove each pair, and split what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.store import Store
from pipeline.stages.dedup.find import find_duplicates
from pipeline.stages.dedup.groups import group_images
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.dedup.report import choose, conflicts, draw, summarise
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import read_embeddings
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.tables import Images, open_pixels


def run(store: Store, params: DedupParams) -> None:
    """Write Duplicates, Groups and the reports, over all batches."""
    images, flags, phash, vectors = read(store, params.batches, params.encoder)
    pixels = open_pixels(store, images)
    search = find_duplicates(
        images,
        flags,
        pixels=pixels,
        phash=phash,
        vectors=vectors,
        neighbours=params.neighbours,
        lesion_pairs=params.lesion_pairs,
        engine=params.engine,
        scratch=store.scratch(params, keep="dedup"),
    )
    groups = group_images(images, search.edges, search.kept, params.split)
    contradicting = conflicts(search.edges, images)

    store.write(Duplicates, search.edges, vectors={"transform": search.transforms})
    store.write(Groups, groups)
    store.report("dedup/conflicts.csv", contradicting)
    store.report("dedup/summary.json", summarise(search.candidates, search.edges, groups, contradicting))
    chosen = choose(search.edges, contradicting, count=params.report_images)
    drawn = draw(search.edges, search.transforms, chosen, image_ids=images["image_id"].to_numpy(), pixels=pixels)
    with store.output("reports/dedup/pictures") as folder:
        folder.mkdir()
        for name, content in drawn:
            (folder / name).write_bytes(content)


def read(
    store: Store, batches: list[str], encoder: str
) -> tuple[pd.DataFrame, pd.Series[Any], NDArray[np.uint8], NDArray[np.float32]]:
    """Read all batches, sorted by image_id.

    Returns:
        Images, quality flags, pHashes (images, 256), embeddings (images, dimensions).

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
