"""Find images that show the same photograph or the same lesion, prove each finding, and split what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.dedup.candidates import propose
from pipeline.dedup.edges import all_edges
from pipeline.dedup.findings import conflicts, summarise
from pipeline.dedup.groups import cover, group_images, keeper_ranks, representatives
from pipeline.dedup.params import DedupParams
from pipeline.dedup.pictures import choose, draw
from pipeline.dedup.tables import Duplicates, Groups
from pipeline.dedup.verify import extract_features, verify
from pipeline.embed.tables import Embeddings
from pipeline.fingerprint.tables import Fingerprints
from pipeline.ingest.tables import Images

Array = np.ndarray[Any, Any]


def run(store: Store, params: DedupParams) -> None:
    """Write Duplicates, Groups and the reports, over all batches."""
    images, flags, phash, vectors = read(store, params.batches)
    pixels, scratch = store.pixels(images), store.scratch(params, keep="dedup")
    ranks = keeper_ranks(images, flags)
    represented_by = representatives(images["pixel_sha256"], ranks)
    distinct = np.unique(represented_by)
    alone = pixels.take(distinct)

    features = extract_features(alone, params=params.verify, engine=params.engine, scratch=scratch)
    candidates = propose(
        images["lesion_id"].iloc[distinct],
        phash=phash[distinct],
        vectors=vectors[distinct],
        features=features,
        params=params.candidates,
    )
    proven, transforms = verify(
        candidates,
        alone,
        features,
        phash=phash[distinct],
        params=params.verify,
        engine=params.engine,
        scratch=scratch,
    )
    proven[["a", "b"]] = distinct[proven[["a", "b"]].to_numpy(int)]
    kept = cover(proven.loc[proven["relation"] == "copy", ["a", "b"]].to_numpy(), ranks)[represented_by]
    edges, matrices = all_edges(images, phash, proven, transforms, represented_by=represented_by, kept=kept)
    groups = group_images(images, edges, kept, params.split)
    contradicting = conflicts(edges, images)

    store.write(Duplicates, edges, vectors={"transform": matrices})
    store.write(Groups, groups)
    store.report("dedup/conflicts.csv", contradicting)
    store.report("dedup/summary.json", summarise(candidates, edges, groups, contradicting))
    chosen = choose(edges, contradicting, count=params.pictures)
    with store.output("reports/dedup/pictures") as folder:
        folder.mkdir()
        for name, content in draw(edges, matrices, chosen, image_ids=images["image_id"].to_numpy(), pixels=pixels):
            (folder / name).write_bytes(content)


def read(store: Store, batches: list[str]) -> tuple[pd.DataFrame, pd.Series[Any], Array, Array]:
    """Read all batches, sorted by image_id.

    Returns:
        Images with pixel_sha256, quality flags, (images, 256) pHashes, (images, dimensions) embeddings.

    Raises:
        UserError: the batches were embedded by unlike encoders.

    """
    images, prints = store.read(Images, batches), store.read(Fingerprints, batches)
    encoders = sorted(store.read(Embeddings, batches)["encoder"].unique())
    if len(encoders) > 1:
        raise UserError(f"data/embed holds vectors of {encoders}, which cannot be compared: run `dvc repro embed`")
    order = np.argsort(images["image_id"].to_numpy().astype(str), kind="stable")
    images = images.assign(pixel_sha256=prints["pixel_sha256"]).iloc[order].reset_index(drop=True)
    flags = prints["flags"].iloc[order].reset_index(drop=True)
    phash = store.vectors(Fingerprints, "phash", batches)[order]
    return images, flags, phash, store.vectors(Embeddings, "vector", batches)[order]
