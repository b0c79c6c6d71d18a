"""Composes params.yaml from the stages' own sections and hands each stage its part.

One of the two files that no stage depends on (the other is `__main__.py`): a new knob of `train` does not re-run
`ingest`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.core.errors import UserError
from pipeline.core.params import Section, StageParams
from pipeline.yaml_values import Written, remedy

STAGES = (
    "ingest",
    "fingerprint",
    "embed",
    "dedup",
    "label_noise",
    "replay",
    "rebalance",
    "train",
    "evaluate",
)
INSTANCES = {
    "ingest": ("batches",),
    "fingerprint": ("batches",),
    "embed": ("encoders", "batches"),
    "rebalance": ("arms",),
    "train": ("members", "arms", "seeds"),
}
AXES = {"batches": "batch", "encoders": "encoder", "arms": "arm", "members": "member", "seeds": "seed"}
NESTED = ("embed",)  # stages whose instances lie in folders of folders: data/embed/<encoder>/<batch>
NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


def read_tree(path: Path) -> dict[str, Any]:
    """Read params.yaml and check the whole of it.

    Raises:
        UserError: says which key is wrong and how.

    """
    try:
        text = path.read_text("utf-8")
        tree = yaml.safe_load(text)
        written = Written(yaml.compose(text, yaml.SafeLoader))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run from the project's folder") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no UTF-8 text: save it as UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2019-13-45
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} is not a mapping: copy one of profiles/*.yaml over it")
    written.check_keys()
    check_tree(tree, written)
    return tree


def check_tree(tree: Mapping[str, Any], written: Written | None = None) -> None:
    """Check every stage's part for every instance, and that no key of the tree is left over.

    Args:
        tree: params.yaml as it was loaded.
        written: how its values are written, which makes an error say more.

    Raises:
        UserError: says which key is wrong and how.

    """
    used: set[str] = set()
    for name in AXES:
        values = tree.get(name)
        if not isinstance(values, list) or not values or len(set(map(str, values))) != len(values):
            raise UserError(f"params.yaml: {name} must be a list of one or more distinct names")
        for place, value in enumerate(values):
            if name != "seeds" and not isinstance(value, str):
                found = remedy(f"{name}.{place}", value, "string", written)
                raise UserError(f"params.yaml: {name} holds {value!r}, which is no text: {found}")
            if not NAME.fullmatch(str(value)):
                raise UserError(f"params.yaml: {name} holds {value!r}: use lower-case letters, digits and _")
    for stage in STAGES:
        for instance in instances(tree, stage):
            stage_params(tree, stage, instance, written)
            used.update(keys(stage, instance).values())
    used.update(AXES)
    _check_spares(tree, used, written)


def instances(tree: Mapping[str, Any], stage: str) -> list[str | None]:
    """List the instances of a stage that params.yaml asks for; `[None]` where a stage has none."""
    names: list[str | None] = [None]
    for axis in INSTANCES.get(stage, ()):
        names = [f"{name}-{value}" if name is not None else str(value) for name in names for value in tree[axis]]
    return names


def folders(tree: Mapping[str, Any], stage: str) -> list[str]:
    """List the folders below data/<stage>/ that the instances of a stage fill."""
    names = [str(name) for name in instances(tree, stage)]
    return [name.replace("-", "/") for name in names] if stage in NESTED else names


def keys(stage: str, instance: str | None) -> dict[str, str]:
    """Say where in params.yaml each field of a stage's params comes from, for one instance."""
    axes = [AXES[axis] for axis in INSTANCES.get(stage, ())]
    parts = dict(zip(axes, (instance or "").split("-"), strict=False))
    return {
        field: key.format(instance=instance, **dict.fromkeys(AXES.values(), "") | parts)
        for field, key in params_class(stage).keys.items()
    }


def params_class(stage: str) -> type[StageParams]:
    """Return the params model that a stage declares."""
    module = import_module(f"pipeline.stages.{stage}.params")
    name = "".join(word.capitalize() for word in stage.split("_")) + "Params"
    found: type[StageParams] = getattr(module, name)
    return found


def stage_params(
    tree: Mapping[str, Any], stage: str, instance: str | None, written: Written | None = None
) -> StageParams:
    """Build what one stage instance receives.

    Raises:
        UserError: a key is missing, unknown or of the wrong type, or the instance is not listed.

    """
    if instance not in instances(tree, stage):
        listed = [name for name in instances(tree, stage) if name]
        raise UserError(f"{stage} has no instance {instance}: params.yaml lists {listed or 'none'}")
    where = keys(stage, instance)
    try:
        return params_class(stage).model_validate({field: _lookup(tree, key) for field, key in where.items()})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise _refusal(where.get(field, field), first["loc"][1:], error, written) from None


def _lookup(tree: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - YAML holds anything
    value: Any = tree
    for part in key.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            raise UserError(f"params.yaml: {key} is missing: copy it from one of profiles/*.yaml")
    return value


def _check_spares(tree: Mapping[str, Any], used: set[str], written: Written | None) -> None:
    """Refuse keys that no stage reads; entries of dictionaries by name may wait unlisted."""
    waiting = {"ingest.batches", "embed.encoders", "rebalance.arms", "train.members"}
    for key in _leaves(tree):
        read = any(key == u or key.startswith(f"{u}.") for u in used)
        if not read and not any(key.startswith(f"{w}.") for w in waiting):
            raise UserError(f"params.yaml: no stage reads {key}: remove it, or correct its name")
    _check_waiting(tree, written)


def _check_waiting(tree: Mapping[str, Any], written: Written | None) -> None:
    from pipeline.models.params import Member  # noqa: PLC0415
    from pipeline.stages.embed.params import Encoder  # noqa: PLC0415 - composes the stages' sections
    from pipeline.stages.ingest.params import Batch  # noqa: PLC0415

    sections: dict[str, type[Section]] = {"ingest.batches": Batch, "embed.encoders": Encoder, "train.members": Member}
    for key, section in sections.items():
        for name, entry in _lookup(tree, key).items():
            try:
                section.model_validate(entry)
            except ValidationError as error:
                raise _refusal(f"{key}.{name}", error.errors()[0]["loc"], error, written) from None


def _refusal(key: str, rest: Sequence[int | str], error: ValidationError, written: Written | None) -> UserError:
    """Say which value is refused, why, and how to write it; pydantic's own names in the place are dropped."""
    first = error.errors()[0]
    value, message = first["input"], first["msg"]
    own = [str(part) for part in rest if isinstance(part, int) or re.fullmatch(r"\w+", part)]
    place = ".".join([key, *own])
    wanted = next((kind for kind in ("string", "integer", "number") if kind in message), "")
    told = remedy(place, value, wanted, written)
    return UserError(f"params.yaml: {place}: {told or f'{message} (found {value!r})'}")


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        found += _leaves(value, f"{key}.") if isinstance(value, Mapping) and value else [key]
    return found
