"""Where originals come from: distinct lesions of HAM10000, and the pictures of a clinical scrape.

A third of each source's pictures is for tuning and the rest for reports, so no figure that is reported was made of
a picture that any threshold was chosen on. A picture's name alone says which it is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Entry
from pipeline.stages.ingest.sources import folder as class_folders
from pipeline.stages.ingest.sources import ham10000
from pipeline.stages.ingest.sources.files import RawReader

MAX_BYTES = 200_000_000
TUNING_SHARE = 1 / 3
PARTS = ("tuning", "report")
UNSAID = "unsaid"  # licence and attribution: nothing here leaves the machine


class Picture(NamedTuple):
    """A picture as published, and its name in its source."""

    source_id: str
    content: bytes


class Source(NamedTuple):
    """A data set.

    entries: lists its candidates for originals.
    same: relations between two originals that make them one picture, where nobody has judged the pair. HAM10000 names
        lesions, so only copies do; a scrape names none, so another photograph of the same lesion does too.
    """

    entries: Callable[[Path], list[Entry]]
    same: tuple[str, ...]


def read_pictures(source: str, folder: Path, *, part: str, count: int, seed: int) -> list[Picture]:
    """Draw pictures at random.

    Args:
        source: a key of `SOURCES`.
        folder: where it lies.
        part: one of `PARTS`.
        count: at most.
        seed: of the draw.

    Raises:
        UserError: the folder holds something else.

    """
    entries = [entry for entry in SOURCES[source].entries(folder) if part_of(entry.source_id) == part]
    if not entries:
        raise UserError(f"{folder} holds no pictures for {part}: name the folder of {source}")
    order = np.random.default_rng([seed, 0]).permutation(len(entries))[:count]
    with RawReader(folder, max_bytes=MAX_BYTES) as reader:
        chosen = tqdm([entries[i] for i in order], desc=f"read {source}", disable=None)
        return [Picture(entry.source_id, reader.read(entry.locator)) for entry in chosen]


def part_of(source_id: str) -> str:
    """Say what a picture is for, by a hash of its name."""
    drawn = int.from_bytes(hashlib.sha256(source_id.encode()).digest()[:8]) / 2**64
    return PARTS[int(drawn >= TUNING_SHARE)]


def _one_a_lesion(folder: Path) -> list[Entry]:
    """List the first image of every lesion, by image id."""
    listed = ham10000.read(folder, licence=UNSAID, attribution=UNSAID).entries
    first: dict[str, Entry] = {}
    for entry in sorted(listed, key=lambda entry: entry.source_id):
        first.setdefault(entry.lesion_id or entry.source_id, entry)
    return list(first.values())


def _every_file(folder: Path) -> list[Entry]:
    listed = class_folders.read(folder, licence=UNSAID, attribution=UNSAID).entries
    return sorted(listed, key=lambda entry: entry.source_id)


SOURCES = {
    "ham10000": Source(_one_a_lesion, ("copy",)),
    "dermnet": Source(_every_file, ("copy", "same_lesion")),
}
