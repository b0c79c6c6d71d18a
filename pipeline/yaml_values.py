"""What YAML makes of values that look like others, and how to write them: `no` is false, `1e-4` a text, `001` is 1."""

from __future__ import annotations

import re
from typing import Any

import yaml

from pipeline.core.errors import UserError


class Loader(yaml.SafeLoader):
    """Reads YAML 1.1, as everything here does, and the numbers that `dvc exp run -S` writes.

    DVC writes params.yaml anew by YAML 1.2, where a number needs no point: a 0.00001 that a user asks for becomes
    `1e-05`, which 1.1 takes for a text. Of `1e-4`, which DVC never writes, an error still says how to write it.
    """


Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"-?\de[-+]\d{2,3}$"), list("-0123456789"))


def read_yaml(text: str) -> Any:  # noqa: ANN401 - YAML holds anything
    """Return what a params.yaml holds.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: it holds a date that there is not.

    """
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader with one more way to write numbers


class Written:
    """The scalars of a YAML file as they stand there.

    Args:
        node: of `yaml.compose`; None for an empty file.

    """

    def __init__(self, node: yaml.Node | None) -> None:
        self._node = node
        self._texts: dict[str, str] = {}
        if node is not None:
            self._collect(node, ())

    def text(self, place: str) -> str | None:
        """Return how the value at `a.b.0` is written, without quotes; None if it is no scalar."""
        return self._texts.get(place)

    def check_keys(self) -> None:
        """Refuse keys that are no texts, or that stand twice in one mapping: of these YAML keeps the last.

        Raises:
            UserError: says which.

        """
        waiting = [(self._node, "")] if self._node else []
        while waiting:
            node, place = waiting.pop()
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            seen: set[str] = set()
            for key, value in pairs:
                line = key.start_mark.line + 1
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else "a mapping"
                if key.tag not in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}:
                    kind = KINDS.get(key.tag.rpartition(":")[2], "no text")
                    raise UserError(f"params.yaml, line {line}: YAML reads the key {name} as {kind}: write {name!r}:")
                if name in seen:
                    raise UserError(f"params.yaml, line {line}: {place}{name} stands there twice: keep one")
                seen.add(name)
                waiting.append((value, f"{place}{name}."))
            if isinstance(node, yaml.SequenceNode):
                waiting += [(item, f"{place}{i}.") for i, item in enumerate(node.value)]

    def _collect(self, node: yaml.Node, place: tuple[str, ...]) -> None:
        if isinstance(node, yaml.ScalarNode):
            self._texts[".".join(place)] = node.value
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self._collect(item, (*place, str(i)))
        else:
            for key, value in node.value:
                self._collect(value, (*place, str(key.value)))


UNQUOTED = "`dvc exp run -S` takes these quotes off, whichever key it sets: another text is safer"
KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "timestamp": "a date"}


def remedy(place: str, value: Any, wanted: str, written: Written | None) -> str:  # noqa: ANN401 - YAML holds anything
    """Say how to write a value that is of another type than it should be; nothing where that is not the trouble.

    Args:
        place: its key, `a.b.0`.
        value: what YAML made of it.
        wanted: `string`, `number`, `integer`, or anything else.
        written: the file.

    """
    text = (written.text(place) if written else None) or _plain(value)
    if wanted == "string" and not isinstance(value, str | list | dict):
        kind = "nothing" if value is None else "true or false" if isinstance(value, bool) else "a number or a date"
        told = f"YAML reads {text or 'an empty value'} as {kind}; write {text!r}, in quotes"
        return f"{told} ({UNQUOTED})" if _loses_quotes(text) else told
    if wanted in {"number", "integer"} and isinstance(value, str):
        number = re.fullmatch(r"\s*([+-]?)(\d*)(?:[.,](\d*))?(?:[eE]([+-]?)(\d+))?\s*", value.replace("_", ""))
        if number and (number[2] or number[3]):
            exponent = f"e{number[4] or '+'}{number[5]}" if number[5] else ""
            plain = f"{number[1]}{number[2] or '0'}.{number[3] or '0'}{exponent}"
            whole = wanted == "integer" and float(plain).is_integer()
            return f"YAML reads {value} as a text; write {int(float(plain)) if whole else plain}"
    return ""


def _loses_quotes(text: str) -> bool:
    """Tell whether YAML 1.2 needs no quotes around a text that 1.1 takes for something else: `no`, `12:30`."""
    value = yaml.safe_load(text) if re.fullmatch(r"[\w:.+-]+", text) else text
    if isinstance(value, bool):
        return text.lower() not in {"true", "false"}
    return isinstance(value, int | float) and ":" in text


def _plain(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else str(value)
