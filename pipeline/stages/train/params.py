"""What `train` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pipeline.core.params import Device, StageParams
from pipeline.core.taxonomy import Classes
from pipeline.models.params import LossName, Member


class TrainParams(StageParams):
    """Params of one instance `<member>-<arm>-<seed>`.

    loss: what every member minimises: the usual one, two for rare classes, two that forgive wrong labels.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "device": "runtime.device",
        "loss": "train.loss",
        "member": "train.members.{member}",
    }

    batches: list[str]
    classes: Classes
    device: Device
    loss: LossName
    member: Member
