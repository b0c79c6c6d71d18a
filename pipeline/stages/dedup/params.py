"""What `dedup` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class Split(Section):
    """How lesions are hashed to splits.

    salt: of the hash; `python -m pipeline salt` proposes one that balances the classes.
    validation_share: of the lesions.
    test_share: of the lesions.
    """

    salt: str
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)


class DedupParams(StageParams):
    """Params of the stage.

    encoder: the main one, whose vectors propose pairs.
    neighbours: nearest embeddings of an image that are looked at; more find more and take longer.
    lesion_pairs: also look at all pairs that the source says show one lesion.
    report_images: pairs that are drawn into the report.
    """

    keys: ClassVar = {
        "batches": "batches",
        "encoder": "encoders.0",
        "engine": "runtime.engine",
        "split": "split",
        "neighbours": "dedup.neighbours",
        "lesion_pairs": "dedup.lesion_pairs",
        "report_images": "dedup.report_images",
    }

    batches: list[str]
    encoder: str
    engine: Engine
    split: Split
    neighbours: int
    lesion_pairs: bool
    report_images: int
