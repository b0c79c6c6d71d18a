"""What `evaluate` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.core.params import StageParams
from pipeline.core.taxonomy import Classes


class EvaluateParams(StageParams):
    """Params of the stage.

    bootstrap: resamples over groups.
    confidence: of the intervals, such as 0.95.
    bins: of the calibration error.
    ensemble: how the networks of an arm are joined; all ways are reported. `stacking` needs members with `folds`.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "members": "members",
        "arms": "arms",
        "seeds": "seeds",
        "bootstrap": "evaluate.bootstrap",
        "confidence": "evaluate.confidence",
        "bins": "evaluate.bins",
        "ensemble": "evaluate.ensemble",
        "seed": "seed",
    }

    batches: list[str]
    classes: Classes
    members: list[str]
    arms: list[str]
    seeds: list[int]
    bootstrap: int
    confidence: float
    bins: int
    ensemble: Literal["mean", "weighted", "greedy", "stacking"]
    seed: int
