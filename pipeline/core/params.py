"""Base of every stage's section of params.yaml: frozen, strict, and without defaults: a value lives there, once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Device = Literal["auto", "cpu", "cuda"]  # where networks compute; `auto` is CUDA where there is one


class Section(BaseModel):
    """A part of params.yaml; an unknown or missing key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class StageParams(Section):
    """What one stage receives.

    `keys` says where in params.yaml each field comes from, and is the only way in: a stage cannot read a knob that is
    not listed here, and `tests/test_wiring.py` holds the list against dvc.yaml. `{instance}` stands for the instance's
    name, `{encoder}`, `{batch}`, `{member}`, `{arm}` and `{seed}` for its parts.
    """

    keys: ClassVar[dict[str, str]]
