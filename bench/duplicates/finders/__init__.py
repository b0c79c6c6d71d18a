"""The finders that are compared, by the name that the table shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from bench.duplicates.finders import hashes, ours, peers
from bench.duplicates.prepared import Prepared

HASHES = ("bench.duplicates.finders.hashes", "bench.duplicates.finders.ranked")
ORIENTED = (*HASHES, "bench.duplicates.finders.ours", "pipeline.stages.fingerprint")
PEERS = ("bench.duplicates.finders.peers", "bench.duplicates.finders.ranked")


@dataclass(frozen=True)
class Finder:
    """A way to rank pairs.

    rank: from a collection to a, b (positions, a < b) and score, the best first.
    code: whose change makes an older result void.
    needs_vectors: is left out where there are none.
    uses_profile: the result depends on the profile's thresholds.
    """

    rank: Callable[[Prepared], pd.DataFrame]
    code: tuple[str | Path, ...]
    needs_vectors: bool = False
    uses_vectors: bool = False
    uses_profile: bool = False


def _peer(script: str, *requirements: str, needs_vectors: bool = False) -> Finder:
    rank = partial(peers.rank, script=script, requirements=requirements)
    code = (*PEERS, peers.SCRIPTS / f"{script}.py")
    return Finder(rank, code, needs_vectors=needs_vectors, uses_vectors=needs_vectors)


def _hash(name: str, side: int) -> Finder:
    return Finder(partial(hashes.rank, name=name, side=side), HASHES)


OURS = "ours"
FINDERS = {
    OURS: Finder(ours.rank, ours.CODE, uses_vectors=True, uses_profile=True),
    "pHash-256, 8 orientations": Finder(hashes.rank_orientations, ORIENTED),
    "imagehash pHash-256": _hash("phash", 16),
    "imagehash pHash-64": _hash("phash", 8),
    "imagehash dHash-256": _hash("dhash", 16),
    "imagehash dHash-64": _hash("dhash", 8),
    "imagededup 0.3.3 PHash": _peer("imagededup", "imagededup==0.3.3.post2"),
    "cleanvision 0.3.7": _peer("cleanvision", "cleanvision==0.3.7"),
    "cosine of the vectors": Finder(peers.rank_cosine, PEERS, needs_vectors=True, uses_vectors=True),
    "FiftyOne Brain": Finder(
        peers.rank_fiftyone, (*PEERS, peers.SCRIPTS / "fiftyone_brain.py"), needs_vectors=True, uses_vectors=True
    ),
    "SelfClean 0.0.39": _peer("selfclean", "selfclean==0.0.39", needs_vectors=True),
}
# Peers of which no number can be given, and why.
LEFT_OUT = {
    "imagededup 0.3.3 CNN": "downloads its MobileNetV3 weights when it runs, from where nothing can be fetched here",
    "fastdup": "its licence (CC BY-NC-ND 4.0) forbids commercial use, which this project's does not",
}
