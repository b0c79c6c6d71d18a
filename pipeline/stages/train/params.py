"""What `train` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pipeline.core.params import Device, StageParams
from pipeline.core.taxonomy import Classes
from pipeline.models.params import Member


class TrainParams(StageParams):
    """Params of one instance `<member>-<arm>-<seed>`."""

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "device": "runtime.device",
        "member": "train.members.{member}",
    }

    batches: list[str]
    classes: Classes
    device: Device
    member: Member
