"""Which pairs are worth a look: proposed by hashes, by embeddings, by votes of local features, or by the source itself.

On dermoscopy none of these may decide (three in four pairs at a small hash distance are look-alikes), so a proposal is
cheap and wide, and `verify` demands a proof. Images with the same pixels are one here: see `groups.representatives`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine
from pipeline.core.orientations import COUNT, IDENTITY
from pipeline.core.vector_search import searcher
from pipeline.stages.dedup.hash_search import near_hashes
from pipeline.stages.dedup.pairs import distinct
from pipeline.stages.dedup.params import Candidates
from pipeline.stages.dedup.votes import voted_pairs
from pipeline.stages.dedup.whole import thumbnails, turned

BLOCK = 2048  # images whose neighbours are sought at once: bounds the memory

Array = np.ndarray[Any, Any]


def propose(
    lesion_ids: pd.Series[str],
    *,
    phash: Array,
    vectors: Array | None,
    features: SharedArrays,
    params: Candidates,
    engine: Engine,
    scratch: Path,
) -> pd.DataFrame:
    """Ask every source for pairs.

    Args:
        lesion_ids: of every image, or missing.
        phash: (images, 256) uint8, 8 orientations.
        vectors: (images, dimensions) float32, unit norm; None where there are none.
        features: of all views of all images, from `verify.extract_features`.
        params: how far each source reaches.
        engine: where the work is done.
        scratch: for finished work.

    Returns:
        as `merge`.

    """
    pictures = features["pictures"]
    whole = np.diff(pictures, prepend=-1) > 0
    alike = nearest_thumbnails(thumbnails(features["squares"]), neighbours=params.thumbnails)
    voted = voted_pairs(features, voters=params.voters, min_votes=params.min_votes, engine=engine, scratch=scratch)
    of_parts = [pairs[~whole[pairs].all(axis=1)] for pairs in (alike, voted)]
    proposals = {
        "phash": near_hashes(phash, max_distance_bits=params.max_distance_bits, engine=engine, scratch=scratch),
        "thumbnail": distinct(pictures[alike[whole[alike].all(axis=1)]]),
        "features": distinct(pictures[voted[whole[voted].all(axis=1)]]),
        "part": distinct(pictures[np.concatenate(of_parts)]),
    }
    if vectors is not None:
        proposals["embedding"] = nearest_embeddings(vectors, neighbours=params.neighbours)
    if params.lesion_pairs:
        proposals["lesion"] = same_key(lesion_ids)
    return merge(proposals, phash)


def nearest_embeddings(vectors: Array, *, neighbours: int) -> Array:
    """Pair every image with its nearest by cosine, as `searcher` finds them; as `near_hashes`.

    Args:
        vectors: (images, dimensions) float32, unit norm.
        neighbours: an image.

    """
    count = min(neighbours + 1, len(vectors))  # the image itself is among them
    if count <= 1:
        return np.zeros((0, 2), np.int64)
    search = searcher(vectors)
    found = []
    for start, block in _blocks(vectors):
        _, hits = search(block, count)
        queries = np.repeat(np.arange(start, start + len(block)), count)
        found.append(distinct(np.stack([queries, hits.ravel()], axis=1)[hits.ravel() >= 0]))
    return distinct(np.concatenate(found))


def nearest_thumbnails(tiny: Array, *, neighbours: int) -> Array:
    """Pair every picture with those whose thumbnails are nearest by cosine in some orientation; as `near_hashes`.

    Args:
        tiny: (pictures, 256) float32, unit norm or zero, from `whole.thumbnails`.
        neighbours: an image.

    """
    structured = np.flatnonzero(tiny.any(1))  # a blank one is near nothing
    shown = tiny[structured]
    count = min(neighbours + 1, len(shown))  # a picture may find itself
    search = searcher(shown)
    found = [np.zeros((0, 2), np.int64)]
    for start, block in _blocks(shown):
        views = turned(block).reshape(-1, tiny.shape[1])
        cosines, hits = search(np.ascontiguousarray(views), count)
        queries = np.repeat(np.arange(len(block)) + start, COUNT * count)
        found.append(_best(queries, hits.ravel(), cosines.ravel(), neighbours))
    return structured[distinct(np.concatenate(found))]


def _best(queries: Array, hits: Array, cosines: Array, count: int) -> Array:
    """Keep each query's `count` best hits but itself, each once."""
    kept = (hits >= 0) & (hits != queries)
    frame = pd.DataFrame({"query": queries[kept], "hit": hits[kept], "cosine": cosines[kept]})
    best = frame.groupby(["query", "hit"], sort=True)["cosine"].max().reset_index()
    best = best.sort_values(["query", "cosine"], ascending=[True, False], kind="stable").groupby("query").head(count)
    return best[["query", "hit"]].to_numpy()


def same_key(keys: pd.Series[str]) -> Array:
    """Pair all images that share a key (a lesion); a missing key pairs nothing. Result like that of `near_hashes`."""
    groups = pd.Series(np.arange(len(keys))).groupby(keys.to_numpy()).agg(list)
    pairs = [pair for group in groups for pair in combinations(group, 2)]
    return distinct(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def merge(proposals: Mapping[str, Array], phash: Array) -> pd.DataFrame:
    """Join the proposals of all sources.

    Args:
        proposals: (pairs, 2) positions, by source.
        phash: as for `near_hashes`.

    Returns:
        a, b (positions, a < b), proposed_by (sorted tuple of sources), distance_bits; sorted.

    """
    sources = sorted(proposals)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(proposals[source] for source in sources)])
    bits = np.repeat(1 << np.arange(len(sources)), [len(proposals[source]) for source in sources])
    frame = pd.DataFrame({"a": pairs[:, 0], "b": pairs[:, 1], "bits": bits})
    frame = frame.groupby(["a", "b"], sort=True)["bits"].sum().reset_index()
    names = {code: tuple(s for i, s in enumerate(sources) if code >> i & 1) for code in frame["bits"].unique()}
    frame["proposed_by"] = pd.Series([names[code] for code in frame.pop("bits")], index=frame.index, dtype=object)
    frame["distance_bits"] = distances(phash, frame[["a", "b"]].to_numpy()).astype(float)
    return frame


def distances(phash: Array, pairs: Array) -> Array:
    """Hamming distance of each pair's hashes, the smallest over b's 8 orientations."""
    oriented = phash.reshape(len(phash), COUNT, -1)
    found = np.zeros(len(pairs), np.int64)
    for start, block in _blocks(pairs):
        differing = oriented[block[:, 0], None, IDENTITY] ^ oriented[block[:, 1]]
        found[start : start + len(block)] = np.bitwise_count(differing).sum(2, dtype=np.int64).min(1)
    return found


def _blocks(rows: Array) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(rows), BLOCK):
        yield start, rows[start : start + BLOCK]
