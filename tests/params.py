"""Params for tests: those of a profile, with what a test wants otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.profiles import read_either

PROFILES = Path(__file__).parent.parent / "profiles"


def tree(profile: str = "demo", **changes: Any) -> dict[str, Any]:
    """Return all params of a profile; `a__b=1` sets `a.b`."""
    return changed(_read(profile), **changes)


def section(place: str, *, profile: str = "demo", **changes: Any) -> dict[str, Any]:
    """Return what stands below the key `a.b`; `c__d=1` sets `a.b.c.d`."""
    found: Any = _read(profile)
    for part in place.split("."):
        found = found[part]
    return changed(found, **changes)


def write(root: Path, **changes: Any) -> Path:
    """Write the demo's params, changed, as the params.yaml of a project; return its path."""
    (root / "params.yaml").write_text(yaml.safe_dump(tree(**changes), sort_keys=False), "utf-8")
    return root / "params.yaml"


def changed(params: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a copy of params in which the values that `changes` name, `a__b` for `a.b`, are others."""
    copy: dict[str, Any] = deepcopy(dict(params))
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = copy
        for parent in parents:
            place = place[parent]
        place[last] = value
    return copy


@cache
def _read(profile: str) -> dict[str, Any]:
    return read_either(PROFILES / f"{profile}.yaml")
