"""Finds the duplicates of a folder that is no batch of the project, in a project of its own that is deleted again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.core.engine import Engine, map_shards
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.params import stage_params
from pipeline.stages.dedup.find import DuplicateSearch, find_duplicates
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.fingerprint.stage import run as run_fingerprint
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.packing import cut, write_shard
from pipeline.stages.ingest.params import IngestParams, Limits
from pipeline.stages.ingest.rows import Entry, Listing, Reject
from pipeline.stages.ingest.sources.folder import read as read_folder
from pipeline.stages.ingest.tables import Images, open_pixels

BATCH = "audit"
UNKNOWN = "unknown"  # label and licence: neither matters here


class Knobs(NamedTuple):
    """The parts of params.yaml that say how images are read and compared."""

    limits: Limits
    fingerprint: FingerprintParams
    dedup: DedupParams


def read_knobs(tree: Mapping[str, Any]) -> Knobs:
    """Take the knobs out of a checked params.yaml: those of its first batch."""
    batch = tree["batches"][0]
    ingest, fingerprint = (stage_params(tree, stage, batch) for stage in ("ingest", "fingerprint"))
    dedup = stage_params(tree, "dedup", None)
    assert isinstance(ingest, IngestParams)  # noqa: S101 - `stage_params` builds the stage's own class
    assert isinstance(fingerprint, FingerprintParams)  # noqa: S101
    assert isinstance(dedup, DedupParams)  # noqa: S101
    return Knobs(ingest.limits, fingerprint, dedup)


class Audited(NamedTuple):
    """What a folder holds: edges name images by their path in it, and so do `names`, sorted; pixels are theirs."""

    names: list[str]
    pixels: Pixels
    search: DuplicateSearch
    rejects: list[Reject]


def list_images(folder: Path) -> Listing:
    """List every file of a folder, members of its zips included.

    Raises:
        UserError: it cannot be read.

    """
    return read_folder(folder, licence=UNKNOWN, attribution=UNKNOWN)


@contextmanager
def audited(root: Path, folder: Path, entries: tuple[Entry, ...], knobs: Knobs) -> Iterator[Audited]:
    """Decode, hash and compare the listed images of a folder; what a killed run has finished is not done again.

    Without embeddings: hashes and votes of local features propose.

    Args:
        root: of this project; work lies below data/.cache.
        folder: what is audited.
        entries: of `list_images`, those that a split names.
        knobs: from params.yaml.

    Yields:
        what was found; its pixels can be read within the context only.

    """
    folder = folder.resolve()  # workers may have another working directory
    place = root / "data/.cache/audit" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    store = Store(place)
    images, rejects = pack(store, folder, entries, batch=BATCH, limits=knobs.limits, engine=knobs.dedup.engine)
    run_fingerprint(store, knobs.fingerprint, BATCH)
    prints = store.read(Fingerprints, BATCH)
    pixels = open_pixels(store, images)
    search = find_duplicates(
        images,
        prints["flags"],
        pixels=pixels,
        phash=store.vectors(Fingerprints, "phash", BATCH),
        vectors=None,
        neighbours=knobs.dedup.neighbours,
        lesion_pairs=knobs.dedup.lesion_pairs,
        engine=knobs.dedup.engine,
        scratch=store.scratch(knobs, keep="dedup"),
    )
    edges = search.edges.assign(**{end: search.edges[end].str.removeprefix(f"{BATCH}:") for end in ("a", "b")})
    names = images["image_id"].str.removeprefix(f"{BATCH}:").tolist()
    yield Audited(names, pixels, search._replace(edges=edges), rejects)
    shutil.rmtree(place)


def pack(
    store: Store, folder: Path, entries: Iterable[Entry], *, batch: str, limits: Limits, engine: Engine
) -> tuple[pd.DataFrame, list[Reject]]:
    """Write a folder's images into shards and the table Images, whatever their labels.

    Returns:
        the table Images, and what is no image.

    """
    labelled = [replace(entry, raw_label=UNKNOWN, diagnosis=UNKNOWN) for entry in entries]
    with store.output(f"data/ingest/{batch}/shards") as shards:
        shards.mkdir()
        write = partial(write_shard, raw=folder, shards=shards, batch=batch, limits=limits)
        packed = list(map_shards(write, cut(labelled), label="read", engine=engine))
    images = pd.concat([Images.empty(), *(rows for rows, _ in packed)], ignore_index=True)
    store.write(Images, images, instance=batch)
    return store.read(Images, batch), [reject for _, rejects in packed for reject in rejects]
