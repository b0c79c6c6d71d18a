"""The layouts that can be read, by the name that `ingest.batches.<batch>.source` gives."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pipeline.stages.ingest.rows import Listing
from pipeline.stages.ingest.sources import folder, ham10000, isic


class Reader(Protocol):
    """Lists a batch's raw rows without reading a pixel."""

    def __call__(self, folder: Path, /, *, licence: str, attribution: str) -> Listing:
        """Return every raw row of the batch in `folder`; the two texts hold where the source gives none per image."""
        ...


READERS: dict[str, Reader] = {"ham10000": ham10000.read, "isic": isic.read, "folder": folder.read}
