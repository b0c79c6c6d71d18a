"""Composes params.yaml from the stages' own sections and hands each stage its part.

One of the two files that no stage depends on (the other is `__main__.py`): a new knob of `train` does not re-run
`ingest`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import PositiveInt, TypeAdapter, ValidationError

from pipeline.core.errors import UserError
from pipeline.core.params import Section, StageParams
from pipeline.renamed_params import answer
from pipeline.yaml_values import Loader, Written, read_yaml, remedy

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

Received = TypeVar("Received", bound=StageParams)


class Running(StageParams):
    """What decides how a stage runs and nothing of what it yields, so that DVC need not track it.

    workers: processes that work on shards beside each other on this machine; `auto`: as many as it has cores.
    """

    keys: ClassVar = {"workers": "runtime.workers"}

    workers: PositiveInt | Literal["auto"]


def read_tree(path: Path) -> dict[str, Any]:
    """Read params.yaml and check the whole of it.

    Raises:
        UserError: says which key is wrong and how.

    """
    try:
        return check_text(path.read_text("utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run from the project's folder") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no UTF-8 text: save it as UTF-8") from None


def check_text(text: str, path: Path) -> dict[str, Any]:
    """Parse what params.yaml holds and check the whole of it.

    Args:
        text: of the file.
        path: what an error calls it.

    Raises:
        UserError: says which key is wrong and how; of keys that have another name now, all at once.

    """
    try:
        tree = read_yaml(text)
        written = Written(yaml.compose(text, Loader))
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2019-13-45
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} is not a mapping: `python -m pipeline use` writes one from a profile")
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
    used = set(Running.keys.values())
    refuse_renamed(_leaves(tree))
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
    running(tree, written)
    _check_spares(tree, used, written)
    _check_probes(tree)


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
    model: type[StageParams] = getattr(module, name)
    return model


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
    return _validated(params_class(stage), keys(stage, instance), tree, written)


def running(tree: Mapping[str, Any], written: Written | None = None) -> Running:
    """Build what holds for every stage.

    Raises:
        UserError: a key is missing or of the wrong type.

    """
    return _validated(Running, Running.keys, tree, written)


def _validated(
    model: type[Received], where: Mapping[str, str], tree: Mapping[str, Any], written: Written | None
) -> Received:
    try:
        return model.model_validate({field: _lookup(tree, key) for field, key in where.items()})
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
            raise UserError(f"params.yaml: {key} is missing: copy it from profiles/default.yaml")
    return value


def refuse_renamed(places: Iterable[str]) -> None:
    """Refuse keys of older versions.

    Args:
        places: keys `a.b.c` of a file.

    Raises:
        UserError: says the new name of each, or where its value stands now.

    """
    known = {_stem(key) for stage in STAGES for key in params_class(stage).keys.values()}
    told = answer(place for place in places if not any(place == key or place.startswith(f"{key}.") for key in known))
    if told:
        raise UserError(told)


def dictionaries() -> dict[str, TypeAdapter[Any]]:
    """Return the mappings of which each instance of a stage receives one entry, with what checks an entry."""
    entries: dict[str, TypeAdapter[Any]] = {}
    for stage in STAGES:
        model = params_class(stage)
        for field, key in model.keys.items():
            if key.endswith("}") and sections_of(model.model_fields[field].annotation):
                entries[_stem(key)] = TypeAdapter(get_type_hints(model, include_extras=True)[field])
    return entries


def sections_of(kind: Any) -> list[type[Section]]:  # noqa: ANN401 - a field's annotation
    """List the sections that a field may be: itself, or each of a union; none if it is a plain value."""
    parts = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    plain = [get_args(part)[0] if get_origin(part) is Annotated else part for part in parts]
    return [part for part in plain if isinstance(part, type) and issubclass(part, Section)]


def _stem(key: str) -> str:
    return key.partition(".{")[0]


def _check_spares(tree: Mapping[str, Any], used: set[str], written: Written | None) -> None:
    """Refuse keys that no stage reads; entries of dictionaries of batches and members may wait unlisted."""
    waiting = dictionaries()
    for key in _leaves(tree):
        if not any(key == place or key.startswith(f"{place}.") for place in (*used, *waiting)):
            raise UserError(f"params.yaml: no stage reads {key}: remove it, or correct its name")
    for key, adapter in waiting.items():
        for name, entry in _lookup(tree, key).items():
            try:
                adapter.validate_python(entry)
            except ValidationError as error:
                raise _refusal(f"{key}.{name}", error.errors()[0]["loc"], error, written) from None


def _check_probes(tree: Mapping[str, Any]) -> None:
    """Refuse a probe of an encoder that is not in use, which `train` would find out when all else has run."""
    encoders = tree["encoders"]
    for name in tree["members"]:
        member = _lookup(tree, f"train.members.{name}")
        if member["trainable"] == "probe" and member["backbone"] not in encoders:
            raise UserError(
                f"params.yaml: train.members.{name}.backbone: a probe reads what `embed` wrote of an encoder in use: "
                f"{', '.join(encoders)} (found {member['backbone']!r})"
            )


def _refusal(key: str, rest: Sequence[int | str], error: ValidationError, written: Written | None) -> UserError:
    """Say which value is refused, why, and how to write it; pydantic's own names in the place are dropped."""
    first = error.errors()[0]
    value, message = first["input"], first["msg"]
    own = [str(part) for part in rest if isinstance(part, int) or re.fullmatch(r"\w+", part)]
    place = ".".join([key, *own])
    if first["type"] == "extra_forbidden":
        return UserError(f"params.yaml: nothing reads {place} here: remove it, or correct its name (found {value!r})")
    wanted = next((kind for kind in ("string", "integer", "number") if kind in message), "")
    told = remedy(place, value, wanted, written)
    return UserError(f"params.yaml: {place}: {told or f'{message} (found {value!r})'}")


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    leaves: list[str] = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        leaves += _leaves(value, f"{key}.") if isinstance(value, Mapping) and value else [key]
    return leaves
