"""One search, in a process of its own: `python -m bench.search.worker TOOL FOLDER REACH`.

The folder holds a collection, array by array, and is given the pairs found; the reach is a radius, a number of
neighbours or of votes. See `bench.processes` for what it says when.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from bench.search.drawn import ASKING, FEATURES, spread
from pipeline.core.arrays import SharedArrays
from pipeline.core.orientations import COUNT, IDENTITY
from pipeline.stages.dedup.candidates.hash_search import near_hashes
from pipeline.stages.dedup.candidates.keypoint_votes import voted_pairs
from pipeline.stages.dedup.candidates.pairs import distinct
from pipeline.stages.dedup.candidates.propose import nearest_embeddings

BLOCK = 2048

Given = Mapping[str, NDArray[Any]]
Pairs = NDArray[np.int64]


def hashes(given: Given, reach: int) -> Pairs:
    """Ours."""
    with TemporaryDirectory() as scratch:
        return near_hashes(given["phash"], max_distance_bits=reach, scratch=Path(scratch))


def vectors(given: Given, reach: int) -> Pairs:
    """Ours."""
    return nearest_embeddings(given["vectors"], neighbours=reach)


def features(given: Given, reach: int, *, folder: Path | None = None, count: int | None = None) -> Pairs:
    """Ours; so many images ask, or all.

    The index is filed beside the collection if a folder is given, unless an earlier call has done so.
    """
    asking = None if count is None else spread(len(given["original"]), count)
    with TemporaryDirectory() as passing:
        scratch = Path(passing) if folder is None else folder / "filed"
        scratch.mkdir(exist_ok=True)
        shared = SharedArrays.write(scratch, [given])
        return voted_pairs(shared, keypoints=FEATURES, min_votes=reach, scratch=scratch, asking=asking)


def flat_hashes(given: Given, reach: int) -> Pairs:
    """FAISS's exact search, all with all, block after block."""
    oriented = given["phash"].reshape(len(given["phash"]), COUNT, -1)
    index = faiss.IndexBinaryFlat(8 * oriented.shape[2])
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(oriented), BLOCK):
        block = oriented[start : start + BLOCK]
        index.add(np.ascontiguousarray(block[:, IDENTITY]))
        limits, _, hits = index.range_search(block.reshape(-1, oriented.shape[2]), reach + 1)
        queries = np.repeat(np.arange(COUNT * len(block)) // COUNT + start, np.diff(limits.astype(np.int64)))
        found.append(distinct(np.stack([hits, queries], axis=1)[hits < queries]))
    return distinct(np.concatenate(found))


def flat_vectors(given: Given, reach: int) -> Pairs:
    """FAISS's exact search."""
    vectors = given["vectors"]
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    found = []
    for start in range(0, len(vectors), BLOCK):
        _, hits = index.search(vectors[start : start + BLOCK], reach + 1)
        queries = np.repeat(np.arange(start, start + len(hits)), reach + 1)
        found.append(distinct(np.stack([queries, hits.ravel()], axis=1)))
    return distinct(np.concatenate(found))


TOOLS: dict[str, Callable[[Given, int], Pairs]] = {
    "hashes": hashes,
    "flat_hashes": flat_hashes,
    "vectors": vectors,
    "flat_vectors": flat_vectors,
    "features": features,
}
ASKED = {"filing": 0, "asking": ASKING}  # images


def main(tool: str, folder: str, reach: str) -> None:
    """Search, and write the pairs found."""
    given = {path.stem: np.load(path) for path in Path(folder).glob("*.npy") if path.stem != "found"}
    print("ready", flush=True)
    sys.stdin.readline()
    if tool in ASKED:
        pairs = features(given, int(reach), folder=Path(folder), count=ASKED[tool])
    else:
        pairs = TOOLS[tool](given, int(reach))
    print("done", flush=True)
    np.save(Path(folder) / "found.npy", pairs)


if __name__ == "__main__":
    main(*sys.argv[1:])
