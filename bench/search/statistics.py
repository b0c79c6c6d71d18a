"""`python -m bench.search.statistics`: measure what synthetic collections are drawn after, on HAM10000.

What it writes lies in git, so nobody needs it who only runs the benchmark. It holds quantiles and correlations of
thousands of pictures, and nothing of any one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from bench.duplicates.sources import PARTS, Picture, read_pictures
from bench.search.copula import fit, save
from bench.search.drawn import FEATURES, STATISTICS
from pipeline.core.errors import UserError
from pipeline.stages.dedup.features.keypoints import detect_keypoints
from pipeline.stages.dedup.features.preprocess import preprocess
from pipeline.stages.fingerprint.hashes import COSINES, DCT_SIDE, SIDE, shrink

RANKS = {"hashes": 96, "vectors": 128, "features": 128}  # of the common factors
FEATURES_OF = 1000  # pictures

Array = np.ndarray[Any, Any]


def main(arguments: Sequence[str]) -> int:
    """Measure and write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.search.statistics", description=__doc__)
    add = parser.add_argument
    add("--ham10000", type=Path, metavar="FOLDER", required=True, help="the archives as the Dataverse publishes them")
    add("--embeddings", type=Path, metavar="PARQUET", required=True, help="data/embed/clip/ham10000/embeddings.parquet")
    options = parser.parse_args(arguments)
    try:
        pictures = [
            picture
            for part in PARTS
            for picture in read_pictures("ham10000", options.ham10000, part=part, count=10**6, seed=0)
        ]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    rows = {
        "hashes": coefficients(pictures),
        "vectors": vectors(options.embeddings),
        "features": np.concatenate(list(features(pictures[:FEATURES_OF]))),
    }
    STATISTICS.mkdir(exist_ok=True)
    for kind, measured in rows.items():
        save(fit(measured, rank=RANKS[kind]), STATISTICS / f"{kind}.npz")
        print(f"{kind}: {measured.shape[0]} rows of {measured.shape[1]}")
    return 0


def coefficients(pictures: Sequence[Picture]) -> Array:
    """Return the lowest cosine coefficients, which the pHash compares, in grey levels: (pictures, 256)."""
    rows = []
    for picture in pictures:
        grey = _decode(picture, cv2.IMREAD_GRAYSCALE)
        low = COSINES @ shrink([grey])[:, 0].astype(np.float64) @ COSINES.T
        rows.append(low.reshape(SIDE * SIDE) / (2 * DCT_SIDE) ** 2)
    return np.stack(rows)


def vectors(path: Path) -> Array:
    """Read embeddings as the stage writes them: (images, dimensions)."""
    column = pq.read_table(path, columns=["vector"])["vector"].combine_chunks()
    found: Array = column.flatten().to_numpy().reshape(len(column), -1)
    return found


def features(pictures: Sequence[Picture]) -> Iterator[Array]:
    """Yield each picture's descriptors with the log2 of their sizes, (features, 129)."""
    for picture in pictures:
        found = detect_keypoints(preprocess(_decode(picture, cv2.IMREAD_COLOR_RGB)), max_keypoints=FEATURES)
        yield np.column_stack([found.descriptors, found.points[:, 2]])


def _decode(picture: Picture, how: int) -> Array:
    decoded: Array | None = cv2.imdecode(np.frombuffer(picture.content, np.uint8), how)
    assert decoded is not None  # noqa: S101 - the ingest reads all of HAM10000
    return decoded


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
