"""What `ingest` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class Batch(Section):
    """One batch: how to read it, and what its publisher says of rights.

    source: the layout, a key of `ingest.sources.readers.READERS`.
    licence: SPDX or Creative Commons id that holds where the source gives none per image.
    attribution: whom to name.
    ids: `keyed` replaces image, lesion and patient ids by a keyed hash (key in the environment variable
        CURATION_ID_KEY), drops addresses, and withholds the details of rejects, which quote names.
    """

    source: Literal["ham10000", "isic", "folder"]
    licence: str
    attribution: str
    ids: Literal["as_given", "keyed"]


class Limits(Section):
    """Bounds on what is accepted."""

    max_reject_share: float
    max_pixels: int
    max_bytes: int


class IngestParams(StageParams):
    """Params of one batch."""

    keys: ClassVar = {
        "taxonomy": "taxonomy",
        "engine": "runtime.engine",
        "limits": "ingest.limits",
        "batch": "ingest.batches.{instance}",
    }

    taxonomy: str
    engine: Engine
    limits: Limits
    batch: Batch
