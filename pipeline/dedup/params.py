"""What `dedup` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class Candidates(Section):
    """Which pairs are looked at.

    max_distance_bits: Hamming radius of the 256-bit pHash, over 8 orientations.
    neighbours: nearest embeddings an image.
    lesion_pairs: also look at all pairs that the source says show one lesion.
    """

    max_distance_bits: int
    neighbours: int
    lesion_pairs: bool


class Verify(Section):
    """What a pair must show to be a finding; the two relations have their own thresholds."""

    side_pixels: int
    max_features: int
    copy_min_correlation: float
    copy_min_inliers: int
    copy_min_overlap: float
    same_lesion_min_correlation: float
    same_lesion_min_inliers: int


class Split(Section):
    """How lesions are hashed to splits; `python -m pipeline salt` proposes a salt that balances the classes."""

    salt: str
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)


class DedupParams(StageParams):
    """Params of the stage."""

    keys: ClassVar = {
        "batches": "batches",
        "engine": "engine",
        "split": "split",
        "candidates": "dedup.candidates",
        "verify": "dedup.verify",
        "pictures": "dedup.pictures",
    }

    batches: list[str]
    engine: Engine
    split: Split
    candidates: Candidates
    verify: Verify
    pictures: int
