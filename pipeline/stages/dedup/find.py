"""From images to proven edges: extract, propose, verify, cover. The stage calls it, and whoever audits a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.engine import Engine
from pipeline.core.shards import Pixels
from pipeline.stages.dedup.candidates.propose import propose
from pipeline.stages.dedup.edges import all_edges
from pipeline.stages.dedup.features.extract import extract_features
from pipeline.stages.dedup.groups import cover, keeper_ranks, representatives, twin_keys
from pipeline.stages.dedup.verification.verify import verify


class DuplicateSearch(NamedTuple):
    """What was looked at and what was proven.

    candidates: every pair that was verified, as positions of distinct images, with what proposed it.
    edges: the scalar columns of Duplicates.
    transforms: of `edges`, (edges, 9).
    kept: (images,) the position of the image kept in its place, itself if it is kept.
    """

    candidates: pd.DataFrame
    edges: pd.DataFrame
    transforms: NDArray[np.float32]
    kept: NDArray[np.int64]


def find_duplicates(
    images: pd.DataFrame,
    flags: pd.Series[Any],
    *,
    pixels: Pixels,
    phash: NDArray[np.uint8],
    vectors: NDArray[np.float32] | None,
    neighbours: int,
    lesion_pairs: bool,
    engine: Engine,
    scratch: Path,
) -> DuplicateSearch:
    """Find all pairs that show the same photograph or the same lesion, and what to keep.

    Args:
        images: of Images, sorted by image_id.
        flags: lists of quality flags of `images`.
        pixels: of `images`.
        phash: (images, 256), 8 orientations.
        vectors: (images, dimensions) of unit norm; None proposes nothing by embedding.
        neighbours: nearest embeddings of an image that are looked at.
        lesion_pairs: also look at all pairs that the source says show one lesion.
        engine: where the work is done.
        scratch: for finished work.

    """
    ranks = keeper_ranks(images, flags)
    represented_by = representatives(twin_keys(images, flags), ranks)
    distinct = np.unique(represented_by)
    alone = pixels.take(distinct)

    features = extract_features(alone, engine=engine, scratch=scratch)
    candidates = propose(
        images["lesion_id"].iloc[distinct] if lesion_pairs else None,
        phash=phash[distinct],
        vectors=None if vectors is None else vectors[distinct],
        features=features,
        neighbours=neighbours,
        engine=engine,
        scratch=scratch,
    )
    proven, transforms = verify(candidates, alone, features, engine=engine, scratch=scratch)
    proven[["a", "b"]] = distinct[proven[["a", "b"]].to_numpy(int)]
    kept = cover(proven.loc[proven["relation"] == "copy", ["a", "b"]].to_numpy(), ranks)[represented_by]
    edges, matrices = all_edges(images, proven, transforms, represented_by=represented_by, kept=kept)
    return DuplicateSearch(candidates, edges, matrices, kept)
