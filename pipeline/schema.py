"""Every key that params.yaml may hold, as the stages' models declare it: place, type, meaning, who receives it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from inspect import cleandoc
from operator import or_
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pipeline.core.params import Section, StageParams
from pipeline.params import AXES, INSTANCES, STAGES, Running, params_class, sections_of

BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}


@dataclass(frozen=True)
class Key:
    """One key.

    place: `a.b.c`, with `<batch>` and the like where any name may stand, and `[]` for each item of a list.
    type: in words.
    meaning: what the docstring of its model says of it; may be empty.
    stages: which receive it.
    free: it is a mapping from any names to values of one kind, not a value.
    """

    place: str
    type: str
    meaning: str
    stages: tuple[str, ...]
    free: bool = False


def known_keys() -> list[Key]:
    """List the keys in the order of the stages that receive them, each once."""
    keys: dict[str, Key] = {}
    models: dict[str, type[StageParams]] = {stage: params_class(stage) for stage in STAGES} | {"every stage": Running}
    for name, model in models.items():
        for key in _of_stage(name, model):
            before = keys.get(key.place)
            meaning = (before.meaning if before else "") or key.meaning
            stages = (*before.stages, name) if before else (name,)
            keys[key.place] = replace(key, meaning=meaning, stages=stages)
    return list(keys.values())


def find(place: str, keys: Sequence[Key]) -> Key | None:
    """Return the key that a place in a file is one of; None if there is none."""
    return next((key for key in keys if re.fullmatch(_pattern(key.place), place)), None)


def _pattern(place: str) -> str:
    return re.sub(r"<\w+>", r"[^.]+", place.replace("[]", "").replace(".", r"\."))


def fields_of(model: type[Section]) -> dict[str, str]:
    """Return what a model's docstring says of its fields, or those of its bases: lines `name: meaning`.

    A line goes on where the next is indented.
    """
    meanings: dict[str, str] = {}
    last = ""
    docs = [base.__doc__ or "" for base in reversed(model.__mro__) if issubclass(base, Section)]
    for line in "\n".join(map(cleandoc, docs)).splitlines():
        name, colon, text = line.partition(": ")
        if colon and name in model.model_fields:
            last, meanings[name] = name, text.strip()
        elif last and line.startswith("    "):
            meanings[last] += f" {line.strip()}"
        else:
            last = ""
    return {name: text.removesuffix(".") for name, text in meanings.items()}


def _of_stage(stage: str, model: type[StageParams]) -> Iterator[Key]:
    axes = [AXES[axis] for axis in INSTANCES.get(stage, ())]
    meanings = fields_of(model)
    for name, template in model.keys.items():
        place = re.sub(r"\{(\w+)\}", lambda part: f"<{axes[0] if part[1] == 'instance' else part[1]}>", template)
        field = model.model_fields[name]
        listed = re.fullmatch(r"(.*)\.\d+", place)
        if listed:  # one item of a list
            yield Key(listed[1], describe(GenericAlias(list, (field.annotation,))), "", (stage,))
            continue
        if "<" in place:
            yield Key(place.rpartition(".")[0], "mapping", "", (stage,), free=True)
        yield from _below(place, field.annotation, field.metadata, meanings.get(name, ""), stage)


def _below(place: str, kind: Any, bounds: Sequence[Any], meaning: str, stage: str) -> Iterator[Key]:  # noqa: ANN401
    """Yield the keys of a field: itself, or those of the section, mapping or list of sections that it is."""
    inner, sections = get_args(kind), sections_of(kind)
    if sections:  # of several that it may be: the keys of all
        meanings = {name: text for section in reversed(sections) for name, text in fields_of(section).items()}
        for name in dict.fromkeys(name for section in sections for name in section.model_fields):
            fields = [section.model_fields[name] for section in sections if name in section.model_fields]
            either = reduce(or_, (field.annotation for field in fields))
            yield from _below(f"{place}.{name}", either, fields[0].metadata, meanings.get(name, ""), stage)
    elif get_origin(kind) is dict:
        yield Key(place, "mapping", meaning, (stage,), free=True)
        name = f"<{place.rpartition('.')[2].removesuffix('s')}>"
        yield from _below(f"{place}.{name}", inner[1], (), meaning, stage)
    elif get_origin(kind) is list and isinstance(inner[0], type) and issubclass(inner[0], Section):
        yield Key(place, "list", meaning, (stage,))
        yield from _below(f"{place}[]", inner[0], (), "", stage)
    else:
        yield Key(place, describe(kind, bounds), meaning, (stage,))


def describe(kind: Any, bounds: Sequence[Any] = ()) -> str:  # noqa: ANN401 - a type, a union, an alias
    """Say a field's type in words.

    Args:
        kind: its annotation.
        bounds: pydantic's metadata, such as `Gt(gt=0)`.

    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return describe(inner[0], inner[1:])
    if origin is Literal:
        return ("one of " if len(inner) > 1 else "") + ", ".join(f"`{choice}`" for choice in inner)
    if origin in {Union, UnionType}:
        return " or ".join(describe(part) for part in inner)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {describe(inner[0])}"
    limits = [f"{BOUNDS[name]} {getattr(part, name):g}" for part in bounds for name in BOUNDS if hasattr(part, name)]
    return " ".join([PLAIN.get(kind, str(kind)), " and ".join(limits)]).strip()
