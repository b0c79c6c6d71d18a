"""What `train` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Member(Section):
    """One network of the ensemble.

    backbone: a timm model name.
    weights: a file in data/raw/weights/, or None for random initialisation.
    trainable: `all` layers, or the `head` on frozen features.
    side_pixels: input side.
    """

    backbone: str
    weights: str | None
    trainable: Literal["all", "head"]
    side_pixels: PositiveInt
    epochs: PositiveInt
    patience_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: float
    label_smoothing: float
    warmup_epochs: NonNegativeInt
    augmentation: Literal["none", "light", "strong"]


class TrainParams(StageParams):
    """Params of one instance `<member>-<arm>-<seed>`."""

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "device": "train.device",
        "member": "train.members.{member}",
    }

    batches: list[str]
    classes: Classes
    device: Literal["auto", "cpu", "cuda"]
    member: Member
