"""The finders that are compared, by the name that the tables show: each ranks the pairs of a collection.

A list ends at some hundred thousand pairs: what comes later has a precision under one in a hundred. Peers are run by
`peers.py` in environments of their own.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from bench.cache import code_digest, key_of, replacing
from bench.duplicates import ours
from bench.duplicates.collection import Prepared, expect_whole
from bench.environments import PEERS, UnavailableError, interpreter, last_line
from pipeline.core.engine import map_shards
from pipeline.core.orientations import COUNT, IDENTITY
from pipeline.core.shards import Pixels
from pipeline.review.database import mongod

LIMIT = 300_000
BLOCK = 256  # rows at once
IMAGES_A_TASK = 200
PEER_SCRIPT = Path(__file__).parent / "peers.py"
TIMEOUT_S = 3 * 3600
HASHES = {"phash": imagehash.phash, "dhash": imagehash.dhash}


@dataclass(frozen=True)
class Finder:
    """A way to rank pairs.

    rank: from a collection to a, b (positions, a < b) and score, the best first.
    code: whose change makes an older result void.
    needs_vectors: is left out where there are none.
    uses_vectors, uses_profile: the result depends on the vectors, on the profile's thresholds.
    """

    rank: Callable[[Prepared], pd.DataFrame]
    code: tuple[str | Path, ...] = ("bench.duplicates.finders",)
    needs_vectors: bool = False
    uses_vectors: bool = False
    uses_profile: bool = False


def ranking(prepared: Prepared, name: str) -> pd.DataFrame:
    """Run a finder, unless the cache holds what the same code found in the same files with the same vectors.

    Raises:
        UnavailableError: it cannot be run.
        UserError: some files of the collection are unreadable.

    """
    finder = FINDERS[name]
    expect_whole(prepared)
    if finder.needs_vectors and prepared.vectors is None:
        raise UnavailableError("without --weights there are no vectors")
    encoder = prepared.encoder if finder.uses_vectors else None
    profile = prepared.profile.dedup if finder.uses_profile else None
    key = key_of([name, code_digest(finder.code), encoder, profile])
    path = prepared.collection.root / "rankings" / f"{prepared.collection.digest}-{key}.parquet"
    if not path.exists():
        start = time.monotonic()
        pairs = ranked(finder.rank(prepared))
        tqdm.write(f"{name}: {len(pairs):,} pairs in {time.monotonic() - start:.0f} s")
        with replacing(path) as file:
            pairs.to_parquet(file, index=False)
    return pd.read_parquet(path)


def ranked(pairs: pd.DataFrame) -> pd.DataFrame:
    """Sort pairs by score, the best first."""
    return pairs.sort_values(["score", "a", "b"], ascending=[False, True, True], ignore_index=True)


def by_distance(queries: NDArray[np.uint8], keys: NDArray[np.uint8]) -> pd.DataFrame:
    """Rank all pairs by the negative of the Hamming distance.

    Args:
        queries: (images, orientations, bytes).
        keys: (images, bytes). A pair's distance is that of the nearest orientation.

    """
    distances = np.empty((len(keys), len(keys)), np.uint16)
    for start in range(0, len(keys), BLOCK):
        block = np.full((len(queries[start : start + BLOCK]), len(keys)), np.iinfo(np.uint16).max, np.uint16)
        for orientation in range(queries.shape[1]):
            differing = queries[start : start + BLOCK, None, orientation] ^ keys[None]
            np.minimum(block, np.bitwise_count(differing).sum(2, dtype=np.uint16), out=block)
        distances[start : start + BLOCK] = block
    return best(-np.minimum(distances, distances.T).astype(np.float32))


def best(scores: NDArray[np.float32]) -> pd.DataFrame:
    """List the best pairs of a symmetric matrix of scores; pairs of equal scores are listed all or none."""
    rows, columns = np.triu_indices(len(scores), 1)
    flat = scores[rows, columns]
    if len(flat) > LIMIT:
        floor = np.partition(flat, len(flat) - LIMIT)[len(flat) - LIMIT]
        kept = flat >= floor if (flat >= floor).sum() <= LIMIT else flat > floor
        rows, columns, flat = rows[kept], columns[kept], flat[kept]
    return ranked(pd.DataFrame({"a": rows, "b": columns, "score": flat}))


def rank_cosine(prepared: Prepared) -> pd.DataFrame:
    """Rank all pairs by the cosine of their vectors."""
    assert prepared.vectors is not None  # noqa: S101 - such finders run where there are vectors
    return best(prepared.vectors @ prepared.vectors.T)


def rank_orientations(prepared: Prepared) -> pd.DataFrame:
    """Rank all pairs by the distance of our 256-bit pHashes, the smallest over 8 orientations."""
    oriented = prepared.phash.reshape(len(prepared.phash), COUNT, -1)
    return by_distance(oriented, oriented[:, IDENTITY])


def rank_hashes(prepared: Prepared, *, name: str, side: int) -> pd.DataFrame:
    """Rank all pairs by the distance of imagehash's hashes, of side times side bits.

    The images are upright: what Exif says has been followed, which imagehash by itself leaves to its user.
    """
    tasks, label = prepared.pixels.pieces(IMAGES_A_TASK), f"imagehash {name} {side * side}"
    keys = np.concatenate(list(map_shards(partial(_hashed, name=name, side=side), tasks, label=label)))
    return by_distance(keys[:, None], keys)


def _hashed(pixels: Pixels, *, name: str, side: int) -> NDArray[np.uint8]:
    bits = [HASHES[name](Image.fromarray(pixels[i]), hash_size=side).hash.ravel() for i in range(len(pixels))]
    return np.packbits(np.stack(bits), axis=1)


def rank_peer(prepared: Prepared, *, name: str) -> pd.DataFrame:
    """Run a peer in its environment.

    Raises:
        UnavailableError: it cannot be installed, or fails.

    """
    return _run(interpreter(name, PEERS[name]), prepared, name, os.environ)


def rank_fiftyone(prepared: Prepared) -> pd.DataFrame:
    """Run FiftyOne Brain, which our own environment holds, on a database that ends with it.

    Raises:
        UnavailableError: it fails.

    """
    with tempfile.TemporaryDirectory() as folder, mongod(Path(folder) / "database") as uri:
        variables = {**os.environ, "FIFTYONE_DATABASE_URI": uri, "FIFTYONE_DO_NOT_TRACK": "true"}
        return _run(Path(sys.executable), prepared, "fiftyone_brain", variables)


def _run(python: Path, prepared: Prepared, name: str, variables: Mapping[str, str]) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        out, vectors = Path(folder) / "pairs.csv", Path(folder) / "vectors.npy"
        command = [str(python), "-P", str(PEER_SCRIPT), name, str(prepared.collection.images), str(out)]
        command += ["--limit", str(LIMIT), "--copies", str(prepared.copies)]
        if prepared.vectors is not None:
            np.save(vectors, prepared.vectors)
            command += ["--vectors", str(vectors)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, env=variables, timeout=TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            raise UnavailableError(f"fails: {last_line(error.stderr)}") from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"takes more than {TIMEOUT_S // 3600} hours") from error
        return _read(out, prepared.collection.names)


def _read(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Read a peer's csv; of a pair named both ways the better score counts."""
    number = {name: i for i, name in enumerate(names)}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(*sorted((number[row["a"]], number[row["b"]])), float(row["score"])) for row in csv.DictReader(file)]
    pairs = pd.DataFrame(rows, columns=["a", "b", "score"]).astype({"a": "int64", "b": "int64", "score": "float64"})
    return pairs.sort_values("score", ascending=False).drop_duplicates(["a", "b"])


def _hash(name: str, side: int) -> Finder:
    return Finder(partial(rank_hashes, name=name, side=side))


def _peer(name: str, *, vectors: bool = False) -> Finder:
    rank = rank_fiftyone if name == "fiftyone_brain" else partial(rank_peer, name=name)
    return Finder(rank, ("bench.duplicates.finders", PEER_SCRIPT), needs_vectors=vectors, uses_vectors=vectors)


OURS = "ours"
FINDERS = {
    OURS: Finder(ours.rank, ours.CODE, uses_vectors=True, uses_profile=True),
    "pHash-256, 8 orientations": Finder(rank_orientations, ("bench.duplicates.finders", "pipeline.stages.fingerprint")),
    "imagehash pHash-256": _hash("phash", 16),
    "imagehash pHash-64": _hash("phash", 8),
    "imagehash dHash-256": _hash("dhash", 16),
    "imagehash dHash-64": _hash("dhash", 8),
    "imagededup 0.3.3 PHash": _peer("imagededup"),
    "cleanvision 0.3.7": _peer("cleanvision"),
    "cosine of the vectors": Finder(rank_cosine, needs_vectors=True, uses_vectors=True),
    "FiftyOne Brain": _peer("fiftyone_brain", vectors=True),
    "SelfClean 0.0.39": _peer("selfclean", vectors=True),
}
# Peers of which no number can be given, and why.
LEFT_OUT = {
    "imagededup 0.3.3 CNN": "downloads its MobileNetV3 weights when it runs, from where nothing can be fetched here",
    "fastdup": "its licence (CC BY-NC-ND 4.0) forbids commercial use, which this project's does not",
}
