"""What `cross_fit` receives of params.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from pipeline.core.params import StageParams
from pipeline.core.taxonomy import Classes
from pipeline.models.params import Member

Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_]*$")]


class CrossFitParams(StageParams):
    """Params of the stage.

    members: networks by name, with recipes of their own: whoever judges labels had better stop before he knows them by
        heart. None: no such opinion, and an empty table.
    folds: each member is trained once a fold.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "members": "cross_fit.members",
        "folds": "cross_fit.folds",
        "device": "cross_fit.device",
        "seed": "cross_fit.seed",
    }

    batches: list[str]
    classes: Classes
    members: dict[Name, Member]
    folds: int = Field(ge=2)
    device: Literal["auto", "cpu", "cuda"]
    seed: NonNegativeInt
