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
    thumbnails: nearest thumbnails an image, over 8 orientations.
    voters: local features of an image, the strongest, that look for their like in all others.
    min_votes: that agree on turn and scale.
    lesion_pairs: also look at all pairs that the source says show one lesion.
    """

    max_distance_bits: int
    neighbours: int
    thumbnails: int
    voters: int
    min_votes: int
    lesion_pairs: bool


class Verify(Section):
    """What a pair must show to be a finding; the two relations have their own thresholds.

    side_pixels: longer side at which pictures are compared.
    max_features: of one picture.
    copy_max_deformation: local shifts that no homography explains, by what noise explains; a copy has none.
    copy_max_bending_pixels: of the working size, by which a smooth field displaces a part; a copy is bent by none.
    copy_min_shared_clutter: how far hairs lie on each other where both have some: 1 wholly, 0 as by chance.
    near_min_correlation: of two pictures compared as a whole, whose hashes are near.
    whole_min_correlation: of others that were compared as a whole.
    smooth_min_correlation: of two pictures with too few features to match.
    """

    side_pixels: int
    max_features: int
    copy_min_correlation: float
    copy_min_inliers: int
    copy_min_overlap: float
    copy_max_deformation: float
    copy_max_bending_pixels: float
    copy_min_shared_clutter: float
    near_min_correlation: float
    whole_min_correlation: float
    smooth_min_correlation: float
    same_lesion_min_correlation: float
    same_lesion_min_inliers: int


class Split(Section):
    """How lesions are hashed to splits; `python -m pipeline salt` proposes a salt that balances the classes."""

    salt: str
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)


class DedupParams(StageParams):
    """Params of the stage.

    encoder: the main one, whose vectors propose pairs.
    """

    keys: ClassVar = {
        "batches": "batches",
        "encoder": "encoders.0",
        "engine": "engine",
        "split": "split",
        "candidates": "dedup.candidates",
        "verify": "dedup.verify",
        "pictures": "dedup.pictures",
    }

    batches: list[str]
    encoder: str
    engine: Engine
    split: Split
    candidates: Candidates
    verify: Verify
    pictures: int
