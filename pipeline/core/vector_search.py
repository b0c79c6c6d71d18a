"""The nearest vectors by cosine: exact among few, and among many by an index whose cost grows near-linearly.

Among many, vectors are rotated to their principal axes, of which the first AXES are kept, and filed in cells of some
CELL vectors (an inverted file; Jégou, Douze and Schmid 2011) with 4 bits an axis, which a processor compares dozens at
once (André, Kermarrec and Le Scouarnec 2017). A search scans the PROBES cells nearest to it, and ranks the best by the
vectors themselves, in half precision. Each search so looks at a fixed number of vectors, however many there are, and
misses some: tests and `bench.search` say how many.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.core.progress import step, track

EXACT = 20_000  # vectors up to which all are compared: seconds, and an index would take as long to make
CELL = 256  # vectors
PROBES = 128  # cells
AXES = 64
RANKED = 10  # times as many as are asked for
TRAINING_POINTS = 40  # of a cell
BLOCK = 8192  # vectors added at once: bounds the memory

Search = Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], NDArray[np.int64]]]


def searcher(vectors: NDArray[np.float32]) -> Search:
    """Index vectors.

    Args:
        vectors: (n, dimensions) float32, unit norm.

    Returns:
        a function that takes (queries, dimensions) vectors of unit norm and how many to find of each, and returns
        their cosines, falling, and their positions, both (queries, count); positions beyond what is found are -1.

    """
    if len(vectors) <= EXACT:
        exact = faiss.IndexFlatIP(vectors.shape[1])
        exact.add(vectors)
        return exact.search
    index = _index(vectors)

    def search(queries: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        distances, hits = index.search(queries, count)
        return 1 - distances / 2, hits  # of unit vectors

    return search


def _index(vectors: NDArray[np.float32]) -> faiss.IndexRefine:
    """Index many vectors, by Euclidean distance, since the rotation to principal axes shifts their origin."""
    cells, width = len(vectors) // CELL, vectors.shape[1]
    axes = min(AXES, width)
    description = f"PCA{axes},IVF{cells},PQ{axes}x4fs,Refine(SQfp16)"
    index = faiss.index_factory(width, description, faiss.METRIC_L2)
    assert isinstance(index, faiss.IndexRefine)  # noqa: S101 - it says Refine
    index.k_factor = RANKED
    faiss.extract_index_ivf(faiss.downcast_index(index.base_index)).nprobe = PROBES
    # Training is many small steps, whose sums shall not depend on the number of threads.
    with threadpool_limits(1), step("train the index of vectors"):
        index.train(np.ascontiguousarray(vectors[:: max(1, CELL // TRAINING_POINTS)]))
    for start in track(range(0, len(vectors), BLOCK), "index vectors"):
        index.add(np.ascontiguousarray(vectors[start : start + BLOCK]))
    return index
