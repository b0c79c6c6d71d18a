"""What `fingerprint` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pipeline.core.engine import Engine
from pipeline.core.params import StageParams


class FingerprintParams(StageParams):
    """Params of every batch.

    low_contrast_max_range: an image whose luma spans no more of 0 to 1 (1st to 99th percentile) is flagged.
    """

    keys: ClassVar = {
        "engine": "runtime.engine",
        "low_contrast_max_range": "fingerprint.low_contrast_max_range",
    }

    engine: Engine
    low_contrast_max_range: float
