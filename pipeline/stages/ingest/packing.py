"""Reads, normalises and packs one shard's images; what `core.engine` runs in parallel."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.memory import keep_freed
from pipeline.core.progress import within
from pipeline.core.shards import ShardWriter
from pipeline.stages.ingest.normalise import Normalised, normalise
from pipeline.stages.ingest.params import Limits
from pipeline.stages.ingest.rows import Entry, Reject, RejectedError
from pipeline.stages.ingest.sources.files import RawReader
from pipeline.stages.ingest.tables import Images, Rejects

IMAGES_PER_SHARD = 1000  # of a tar file; HAM10000 is 11

COPIED = (
    "diagnosis",
    "raw_label",
    "label_evidence",
    "age",
    "sex",
    "site",
    "skin_tone",
    "licence",
    "attribution",
    "page",
    "origin_url",
    "fetched_at",
)


@dataclass(frozen=True, slots=True)
class Shard:
    """The work of one tar file; `first` is its first entry's position in the batch, from which members are named."""

    number: int
    first: int
    entries: tuple[Entry, ...]


def cut(entries: Sequence[Entry]) -> list[Shard]:
    """Sort entries by id and cut them into shards."""
    ordered = sorted(entries, key=attrgetter("source_id"))
    starts = range(0, len(ordered), IMAGES_PER_SHARD)
    return [Shard(i, start, tuple(ordered[start : start + IMAGES_PER_SHARD])) for i, start in enumerate(starts)]


def write_shard(
    shard: Shard, *, raw: Path, shards: Path, batch: str, limits: Limits
) -> tuple[pd.DataFrame, list[Reject]]:
    """Write one tar; holds one image in memory at a time.

    Members are named by position, not by id: ids hold dots and slashes, on which WebDataset splits names.

    Args:
        shard: what to pack.
        raw: the batch's folder of raw files.
        shards: where the tar goes.
        batch: its name.
        limits: on bytes and pixels.

    Returns:
        rows of Images, and the rejects.

    """
    keep_freed()
    name = f"{shard.number:05d}.tar"
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    with RawReader(raw, max_bytes=limits.max_bytes) as reader, ShardWriter(shards / name) as writer:
        for position, entry in enumerate(within(shard.entries, len(shard.entries)), start=shard.first):
            try:
                received = reader.read(entry.locator)
                image = normalise(received, max_pixels=limits.max_pixels)
            except RejectedError as error:
                rejects.append(Reject(entry.source_id, error.reason, error.detail))
                continue
            row = _row(entry, image, received, batch)
            known = {column: value for column, value in row.items() if value is not None}
            offset = writer.add(f"{position:08d}", image.extension, image.content, known)
            rows.append({**row, "shard": f"shards/{name}", "offset": offset, "size": len(image.content)})
    return pd.DataFrame(rows, columns=[column.name for column in Images.columns]), rejects


def reject_rows(rejects: Sequence[Reject], batch: str) -> pd.DataFrame:
    """Make rows of the table Rejects."""
    rows = [(batch, reject.source_id, reject.reason, reject.detail) for reject in rejects]
    return pd.DataFrame(rows, columns=[column.name for column in Rejects.columns])


def _row(entry: Entry, image: Normalised, received: bytes, batch: str) -> dict[str, Any]:
    """Make a row of Images, but for its place in the shard."""
    return {
        "image_id": f"{batch}:{entry.source_id}",
        "sha256": hashlib.sha256(received).hexdigest(),
        "pixel_sha256": image.pixel_sha256,
        "stored_sha256": hashlib.sha256(image.content).hexdigest(),
        "stored_as": image.stored_as,
        "width": image.width,
        "height": image.height,
        "lesion_id": entry.lesion_id and f"{batch}:{entry.lesion_id}",
        "patient_id": entry.patient_id and f"{batch}:{entry.patient_id}",
        **{column: getattr(entry, column) for column in COPIED},
    }
