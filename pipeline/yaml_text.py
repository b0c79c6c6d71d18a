"""A YAML mapping together with its comments: take it apart into entries, put it together again.

Round-trip parsers attach a comment to the value before it, and lose it with that value. Here a comment belongs to its
key, and a value stays the text that a person wrote, so that `1e-4` or `no` is still found where it was typed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from pipeline.core.errors import UserError

WIDTH = 120


@dataclass(frozen=True)
class Entry:
    """One key of a mapping.

    key: as it is written.
    value: a scalar or a list as it is written, or a mapping's entries.
    above: comments and empty lines before it, without indentation.
    note: the comment behind it, from `#` on.
    column: where the note stood.
    flow: the value is a mapping in braces; comments within the braces are not kept.
    """

    key: str
    value: str | dict[str, Entry]
    above: tuple[str, ...] = ()
    note: str = ""
    column: int = 0
    flow: bool = False

    @property
    def children(self) -> dict[str, Entry] | None:
        """Return the entries of a mapping; None for a scalar or a list."""
        return None if isinstance(self.value, str) else self.value


@dataclass(frozen=True)
class Document:
    """A file: the comments before its first key, and its entries."""

    head: tuple[str, ...]
    entries: dict[str, Entry]


def parse(text: str) -> Document:
    """Take a YAML file apart; one that holds comments alone has no entries.

    Raises:
        UserError: it is no mapping, uses aliases, or has a value over several lines that is no mapping or block list.
        yaml.YAMLError: it is no YAML.

    """
    node = yaml.compose(text, yaml.SafeLoader)
    lines = text.splitlines()
    if node is None:
        return Document(tuple(lines), {})
    if not isinstance(node, yaml.MappingNode):
        raise UserError("it is not a mapping of keys to values")
    entries = _entries(node, text, lines, -1)
    name, first = next(iter(entries.items()))
    entries[name] = replace(first, above=())
    return Document(first.above, entries)


def write(document: Document) -> str:
    """Put a file together: two spaces a level, notes where they stood or two spaces behind what is longer."""
    lines = [*document.head, *_lines(document.entries, 0)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def plain(value: str | Mapping[str, Entry]) -> Any:  # noqa: ANN401 - YAML holds anything
    """Return what YAML makes of a value; mappings by the keys' texts."""
    if isinstance(value, str):
        return yaml.safe_load(value)
    return {name: plain(entry.value) for name, entry in value.items()}


def leaves(entries: Mapping[str, Entry], place: str = "") -> Iterator[tuple[str, Entry]]:
    """Yield the entries that hold no further entries, by their place `a.b.c`."""
    for name, entry in entries.items():
        if entry.children:
            yield from leaves(entry.children, f"{place}{name}.")
        else:
            yield f"{place}{name}", entry


def shifted(entries: Mapping[str, Entry], by: int) -> dict[str, Entry]:
    """Return entries that are to stand further to the right, with their notes."""
    return {
        name: replace(
            entry,
            column=entry.column + by,
            value=entry.value if isinstance(entry.value, str) else shifted(entry.value, by),
        )
        for name, entry in entries.items()
    }


def _entries(node: yaml.MappingNode, text: str, lines: list[str], last: int) -> dict[str, Entry]:
    """Take a mapping apart.

    Args:
        node: the mapping.
        text: the whole file.
        lines: its lines.
        last: number of the line on which whatever is before the mapping ends; -1 at the file's start.

    """
    entries = {}
    for key, value in node.value:
        line, name = key.start_mark.line, str(key.value)
        if value.start_mark.index < key.end_mark.index:
            raise UserError(f"line {line + 1}: {name} is an alias (`*`): write its value out")
        above = () if node.flow_style else tuple(part.strip() for part in lines[last + 1 : line])
        written = text[key.start_mark.index : key.end_mark.index]
        flow, column = bool(getattr(value, "flow_style", False)), 0
        content: str | dict[str, Entry]
        if isinstance(value, yaml.MappingNode):
            content = _entries(value, text, lines, line)
        else:
            content = _written(value, text, name)
        opened = isinstance(value, yaml.CollectionNode) and not flow  # what stands behind the colon is a note then
        note = "" if node.flow_style else _note(lines, key.end_mark if opened else value.end_mark)
        if note:
            column = len(lines[line if opened else value.end_mark.line].rstrip()) - len(note)
        last = _last_line(value)
        entries[name] = Entry(written, content, above, note, column, flow)
    return entries


def _written(node: yaml.Node, text: str, name: str) -> str:
    """Return a scalar or a list as it is written; a list in block style with its lines brought to the left."""
    start, end = node.start_mark, node.end_mark
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        lines = text.splitlines()[start.line : _last_line(node) + 1]
        return "\n".join([lines[0][start.column :], *(line[start.column :] for line in lines[1:])])
    written = text[start.index : end.index]
    parts = [line.strip() for line in written.splitlines()]
    if len(parts) > 1 and (isinstance(node, yaml.ScalarNode) or any("#" in part for part in parts)):
        raise UserError(f"line {start.line + 1}: write the value of {name} on one line, with its comment behind it")
    return " ".join(parts)


def _note(lines: list[str], mark: yaml.Mark) -> str:
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    rest = rest.strip().removeprefix(":").strip()
    return rest if rest.startswith("#") else ""


def _last_line(node: yaml.Node) -> int:
    """Return the number of the line on which a value ends; a block's own mark lies behind the comments below it."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    line: int = node.end_mark.line
    return line


def _lines(entries: Mapping[str, Entry], indent: int) -> Iterator[str]:
    for entry in entries.values():
        yield from (" " * indent + line if line else "" for line in entry.above)
        one = f"{' ' * indent}{entry.key}: {_flow(entry)}".rstrip()
        if entry.children and not (entry.flow and _fits(entry.children) and len(one) <= WIDTH):
            yield _with_note(f"{' ' * indent}{entry.key}:", entry)
            yield from _lines(entry.children, indent + 2)
        elif isinstance(entry.value, str) and entry.value.startswith("- "):
            yield _with_note(f"{' ' * indent}{entry.key}:", entry)
            yield from (" " * (indent + 2) + line for line in entry.value.splitlines())
        else:
            yield _with_note(one, entry)


def _fits(entries: Mapping[str, Entry]) -> bool:
    """Tell whether a mapping can stand in braces: nothing in it has a comment or stands in a block."""
    return not any(
        entry.above or entry.note or "\n" in str(entry.value) or (entry.children and not entry.flow)
        for entry in entries.values()
    ) and all(_fits(entry.children) for entry in entries.values() if entry.children)


def _flow(entry: Entry) -> str:
    if isinstance(entry.value, str):
        return entry.value
    return "{" + ", ".join(f"{inner.key}: {_flow(inner) or 'null'}" for inner in entry.value.values()) + "}"


def _with_note(line: str, entry: Entry) -> str:
    return f"{line.ljust(max(entry.column, len(line) + 2))}{entry.note}" if entry.note else line
