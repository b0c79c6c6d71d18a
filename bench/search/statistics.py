"""`python -m bench.search.statistics`: measure what synthetic collections are drawn after, on HAM10000.

What it writes lies in git, so nobody needs it who only runs the benchmark. It holds quantiles and correlations of
thousands of images, and nothing of any one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.command import parser, status_of
from bench.duplicates.collection import File
from bench.duplicates.originals import read_images
from bench.parts import CHOICES, REPORT
from bench.search.drawn import FEATURES, STATISTICS, fit, save
from pipeline.stages.dedup.features.keypoints import detect_keypoints
from pipeline.stages.dedup.features.preprocess import preprocess
from pipeline.stages.fingerprint.hashes import COSINES, DCT_SIDE, SIDE, shrink

RANKS = {"hashes": 96, "vectors": 128, "features": 128}  # of the common factors
FEATURES_OF = 1000  # images

Floats = NDArray[np.floating]


def main(arguments: Sequence[str]) -> int:
    """Measure and write; return the exit status."""
    made = parser("bench.search.statistics", __doc__, required=["--ham10000"])
    made.add_argument("--embeddings", type=Path, required=True, help="data/embed/clip/ham10000/embeddings.parquet")
    options = made.parse_args(arguments)
    return status_of(lambda: measure(options.ham10000, options.embeddings))


def measure(source: Path, embeddings: Path) -> None:
    """Write what is measured of each kind."""
    images = [
        image for part in (CHOICES, REPORT) for image in read_images("ham10000", source, part=part, count=10**6, seed=0)
    ]
    rows = {
        "hashes": coefficients(images),
        "vectors": vectors(embeddings),
        "features": np.concatenate(list(features(images[:FEATURES_OF]))),
    }
    STATISTICS.mkdir(exist_ok=True)
    for kind, measured in rows.items():
        save(fit(measured, rank=RANKS[kind]), STATISTICS / f"{kind}.npz")
        print(f"{kind}: {measured.shape[0]} rows of {measured.shape[1]}")


def coefficients(images: Sequence[File]) -> Floats:
    """Return the lowest cosine coefficients, which the pHash compares, in grey levels: (images, 256)."""
    rows = []
    for image in images:
        grey = _decode(image, cv2.IMREAD_GRAYSCALE)
        low = COSINES @ shrink([grey])[:, 0].astype(np.float64) @ COSINES.T
        rows.append(low.reshape(SIDE * SIDE) / (2 * DCT_SIDE) ** 2)
    return np.stack(rows)


def vectors(path: Path) -> Floats:
    """Read embeddings as the stage writes them: (images, dimensions)."""
    column = pq.read_table(path, columns=["vector"])["vector"].combine_chunks()
    return np.asarray(column.flatten().to_numpy().reshape(len(column), -1))


def features(images: Sequence[File]) -> Iterator[Floats]:
    """Yield each image's descriptors with the log2 of their sizes, (features, 129)."""
    for image in images:
        found = detect_keypoints(preprocess(_decode(image, cv2.IMREAD_COLOR_RGB)), max_keypoints=FEATURES)
        yield np.column_stack([found.descriptors, found.points[:, 2]])


def _decode(image: File, how: int) -> NDArray[np.uint8]:
    decoded: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(image.content, np.uint8), how)
    assert decoded is not None  # noqa: S101 - the ingest reads all of HAM10000
    return decoded


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
