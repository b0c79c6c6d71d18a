"""What `replay` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pipeline.core.params import StageParams


class ReplayParams(StageParams):
    """Params of the stage: none of its own."""

    keys: ClassVar = {"batches": "batches"}

    batches: list[str]
