"""What `fingerprint` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class QualityThresholds(Section):
    """A flag is raised where a score lies beyond its threshold; the scores stand in the table either way."""

    blank_max_std: float
    dark_max_mean: float
    bright_min_mean: float
    blurred_max_sharpness: float
    low_contrast_max_range: float
    dark_corners_min_share: float
    small_max_side_pixels: int
    odd_min_aspect: float


class FingerprintParams(StageParams):
    """Params of every batch."""

    keys: ClassVar = {
        "engine": "engine",
        "images_per_task": "fingerprint.images_per_task",
        "quality": "fingerprint.quality",
    }

    engine: Engine
    images_per_task: int
    quality: QualityThresholds
