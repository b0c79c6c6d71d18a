"""k nearest neighbours (kNN) and the other proposals: which pairs are worth a look.

Pairs are proposed by near hashes, by the k nearest embeddings and thumbnails by cosine, by votes of keypoints, or by
the source itself. On dermoscopy none of these may decide (three in four pairs at a small hash distance are
look-alikes), so a proposal is cheap and wide, and `verification` demands a proof. Images with the same pixels are one
here: see `groups.representatives`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine
from pipeline.core.orientations import COUNT
from pipeline.core.progress import track
from pipeline.core.vector_search import searcher
from pipeline.stages.dedup.candidates.hash_search import near_hashes
from pipeline.stages.dedup.candidates.keypoint_votes import voted_pairs
from pipeline.stages.dedup.candidates.pairs import distinct, merge, same_key
from pipeline.stages.dedup.features.extract import dihedral_views, thumbnails

BLOCK = 2048  # images whose neighbours are sought at once: bounds the memory


@dataclass(frozen=True)
class Reach:
    """How far proposals reach; the values were set by bench.duplicates on HAM10000 and DermNet.

    max_distance_bits: Hamming radius of the 256-bit pHash, over 8 orientations.
    thumbnails: nearest thumbnails of an image, over 8 orientations.
    keypoints: of an image, the strongest, that look for their like in all others.
    min_votes: of keypoints that agree on rotation and scale.
    """

    max_distance_bits: int = 31
    thumbnails: int = 1
    keypoints: int = 200
    min_votes: int = 4


REACH = Reach()


def propose(
    lesion_ids: pd.Series[str] | None,
    *,
    phash: NDArray[np.uint8],
    vectors: NDArray[np.float32] | None,
    features: SharedArrays,
    neighbours: int,
    reach: Reach = REACH,
    engine: Engine,
    scratch: Path,
) -> pd.DataFrame:
    """Ask every source for pairs.

    Args:
        lesion_ids: of every image, or missing; None proposes nothing by lesion.
        phash: (images, 256), 8 orientations.
        vectors: (images, dimensions), unit norm; None proposes nothing by embedding.
        features: of all views of all images, from `features.extract`.
        neighbours: nearest embeddings of an image.
        reach: how far each other source reaches.
        engine: where the work is done.
        scratch: for finished work.

    Returns:
        as `pairs.merge`.

    """
    image_of = features["images"]
    is_full_frame = np.diff(image_of, prepend=-1) > 0  # of each view
    alike = nearest_thumbnails(thumbnails(features["squares"]), neighbours=reach.thumbnails)
    voted = voted_pairs(features, keypoints=reach.keypoints, min_votes=reach.min_votes, engine=engine, scratch=scratch)
    with_panel = [pairs[~is_full_frame[pairs].all(axis=1)] for pairs in (alike, voted)]
    proposals = {
        "phash": near_hashes(phash, max_distance_bits=reach.max_distance_bits, engine=engine, scratch=scratch),
        "thumbnail": distinct(image_of[alike[is_full_frame[alike].all(axis=1)]]),
        "features": distinct(image_of[voted[is_full_frame[voted].all(axis=1)]]),
        "panel": distinct(image_of[np.concatenate(with_panel)]),
    }
    if vectors is not None:
        proposals["embedding"] = nearest_embeddings(vectors, neighbours=neighbours)
    if lesion_ids is not None:
        proposals["lesion"] = same_key(lesion_ids)
    return merge(proposals)


def nearest_embeddings(vectors: NDArray[np.float32], *, neighbours: int) -> NDArray[np.int64]:
    """Pair every image with its nearest by cosine, as `searcher` finds them.

    Args:
        vectors: (images, dimensions), unit norm.
        neighbours: of an image.

    Returns:
        (pairs, 2) positions, the smaller first, sorted.

    """
    count = min(neighbours + 1, len(vectors))  # the image itself is among them
    if count <= 1:
        return np.zeros((0, 2), np.int64)
    search = searcher(vectors)
    pairs = []
    for start, block in _blocks(vectors, "nearest embeddings"):
        _, hits = search(block, count)
        queries = np.repeat(np.arange(start, start + len(block)), count)
        pairs.append(distinct(np.stack([queries, hits.ravel()], axis=1)[hits.ravel() >= 0]))
    return distinct(np.concatenate(pairs))


def nearest_thumbnails(tiny: NDArray[np.float32], *, neighbours: int) -> NDArray[np.int64]:
    """Pair every view with those whose thumbnails are nearest by cosine in some orientation.

    Args:
        tiny: (views, 256), unit norm or zero, from `extract.thumbnails`.
        neighbours: of a view.

    Returns:
        (pairs, 2) positions of views, the smaller first, sorted.

    """
    structured = np.flatnonzero(tiny.any(1))  # a blank one is near nothing
    shown = tiny[structured]
    count = min(neighbours + 1, len(shown))  # a view may find itself
    search = searcher(shown)
    pairs = [np.zeros((0, 2), np.int64)]
    for start, block in _blocks(shown, "nearest thumbnails"):
        oriented = dihedral_views(block).reshape(-1, tiny.shape[1])
        cosines, hits = search(np.ascontiguousarray(oriented), count)
        queries = np.repeat(np.arange(len(block)) + start, COUNT * count)
        pairs.append(_best(queries, hits.ravel(), cosines.ravel(), neighbours))
    return structured[distinct(np.concatenate(pairs))]


def _best(
    queries: NDArray[np.int64], hits: NDArray[np.int64], cosines: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """Keep each query's `count` best hits but itself, each once."""
    kept = (hits >= 0) & (hits != queries)
    frame = pd.DataFrame({"query": queries[kept], "hit": hits[kept], "cosine": cosines[kept]})
    best = frame.groupby(["query", "hit"], sort=True)["cosine"].max().reset_index()
    best = best.sort_values(["query", "cosine"], ascending=[True, False], kind="stable").groupby("query").head(count)
    return best[["query", "hit"]].to_numpy()


def _blocks(rows: NDArray[np.float32], label: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in track(range(0, len(rows), BLOCK), label):
        yield start, rows[start : start + BLOCK]
