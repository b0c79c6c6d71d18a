"""From images to proven edges: propose, verify, cover. The stage calls it, and so does whoever audits a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.engine import Engine
from pipeline.core.shards import Pixels
from pipeline.stages.dedup.candidates import propose
from pipeline.stages.dedup.edges import all_edges
from pipeline.stages.dedup.groups import cover, keeper_ranks, representatives, twin_keys
from pipeline.stages.dedup.params import Candidates, Verify
from pipeline.stages.dedup.verify import extract_features, verify

Array = np.ndarray[Any, Any]


class Found(NamedTuple):
    """What was looked at and what was proven.

    candidates: every pair that was verified, as positions of distinct pictures, with what proposed it.
    edges: the scalar columns of Duplicates.
    transforms: theirs, (edges, 9) float32.
    kept: for every image the position of the image kept in its place, itself if it is kept.
    """

    candidates: pd.DataFrame
    edges: pd.DataFrame
    transforms: Array
    kept: Array


def find_duplicates(
    images: pd.DataFrame,
    flags: pd.Series[Any],
    *,
    pixels: Pixels,
    phash: Array,
    vectors: Array | None,
    candidates: Candidates,
    verifying: Verify,
    engine: Engine,
    scratch: Path,
) -> Found:
    """Find all pairs that show the same photograph or the same lesion, and what to keep.

    Args:
        images: of Images, sorted by image_id.
        flags: their lists of quality flags.
        pixels: theirs.
        phash: (images, 256) uint8, 8 orientations.
        vectors: (images, dimensions) float32 of unit norm; None proposes nothing by embedding.
        candidates: how far proposals reach.
        verifying: what a pair must show.
        engine: where the work is done.
        scratch: for finished work.

    """
    ranks = keeper_ranks(images, flags)
    represented_by = representatives(twin_keys(images, flags), ranks)
    distinct = np.unique(represented_by)
    alone = pixels.take(distinct)

    features = extract_features(alone, params=verifying, engine=engine, scratch=scratch)
    proposed = propose(
        images["lesion_id"].iloc[distinct],
        phash=phash[distinct],
        vectors=None if vectors is None else vectors[distinct],
        features=features,
        params=candidates,
        engine=engine,
        scratch=scratch,
    )
    proven, transforms = verify(proposed, alone, features, params=verifying, engine=engine, scratch=scratch)
    proven[["a", "b"]] = distinct[proven[["a", "b"]].to_numpy(int)]
    kept = cover(proven.loc[proven["relation"] == "copy", ["a", "b"]].to_numpy(), ranks)[represented_by]
    edges, matrices = all_edges(images, phash, proven, transforms, represented_by=represented_by, kept=kept)
    return Found(proposed, edges, matrices, kept)
