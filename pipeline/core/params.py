"""Base of every stage's section of params.yaml: frozen, strict, and without defaults: a value lives there, once."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of params.yaml; an unknown or missing key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class StageParams(Section):
    """What one stage receives.

    `keys` says where in params.yaml each field comes from, and is the only way in: a stage cannot read a knob that is
    not listed here, and `tests/test_wiring.py` holds the list against dvc.yaml. `{instance}`, `{member}`, `{arm}` and
    `{seed}` stand for parts of the instance's name.
    """

    keys: ClassVar[dict[str, str]]
