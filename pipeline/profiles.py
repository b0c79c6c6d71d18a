"""Profiles: `profiles/default.yaml`, what a named profile says otherwise, and the recipes of the members that it lists.

They are put together as text with its comments, so that a person can read, edit and compare the params.yaml they make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import UserError
from pipeline.params import check_text, read_tree, refuse_renamed
from pipeline.schema import Key, find, known_keys
from pipeline.yaml_text import Document, Entry, leaves, parse, plain, shifted, write

FOLDER = "profiles"
DEFAULT = "default"
MANUAL = "docs/params.md"
RECIPES = "members"
RECIPE_INDENT = 6  # of train.members.<member>.<key>
LISTED = {"ingest.batches": "batches", "train.members": "members"}  # of these a profile holds what it lists


def profiles(root: Path) -> list[str]:
    """List the profiles by name; the default is none."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if path.stem != DEFAULT)


def compose(folder: Path, name: str) -> str:
    """Put a profile together: the default, over it what the profile says otherwise, and its members' recipes.

    Where the profile has a comment, it takes the place of the default's. The default's batches that are not listed are
    left out.

    Args:
        folder: `profiles/` of a project.
        name: of the profile, without `.yaml`.

    Returns:
        the text of a params.yaml, the values of which are not checked.

    Raises:
        UserError: a key that the default lacks (and which the nearest is), a member without a recipe, or no YAML.

    """
    default, overlay = _read(folder / f"{DEFAULT}.yaml"), _read(folder / f"{name}.yaml")
    own = {place: below(overlay.entries, place) for place in LISTED}
    listed = {axis: _names({**default.entries, **overlay.entries}, axis) for axis in LISTED.values()}
    recipes = _recipes(folder / RECIPES, [*listed["members"], *own["train.members"]])
    base = placed(default.entries, "train.members", {**below(default.entries, "train.members"), **recipes})
    _check_known(overlay.entries, base)
    entries = merge(base, overlay.entries)
    for place, axis in LISTED.items():
        kept = {*listed[axis], *own[place]}
        entries = placed(entries, place, {k: entry for k, entry in below(entries, place).items() if k in kept})
    for member in listed["members"]:
        if member not in below(entries, "train.members"):
            known = sorted(path.stem for path in (folder / RECIPES).glob("*.yaml"))
            raise UserError(f"{FOLDER}/{RECIPES}/ has no recipe {member}.yaml{_nearest(member, known)}")
    head = [line for line in overlay.head or default.head if line]
    head += [f"# Written by `python -m pipeline use {name}`; {MANUAL} explains each key.", ""]
    return write(Document(tuple(head), entries))


def load(path: Path) -> tuple[str, dict[str, Any]]:
    """Put a profile together and check it.

    Args:
        path: of a file in `profiles/`.

    Returns:
        the params.yaml it makes, as text and as a tree.

    Raises:
        UserError: says what is wrong with it.

    """
    try:
        text = compose(path.parent, path.stem)
        return text, check_text(text, path)
    except UserError as error:
        raise UserError(f"{FOLDER}/{path.name} cannot be used: {error}") from None


def read_either(path: Path) -> dict[str, Any]:
    """Read a profile, put together and checked, or a params.yaml: a profile is what has the default beside it.

    Raises:
        UserError: says what is wrong with it.

    """
    return load(path)[1] if (path.parent / f"{DEFAULT}.yaml").is_file() else read_tree(path)


def merge(base: Mapping[str, Entry], over: Mapping[str, Entry]) -> dict[str, Entry]:
    """Lay entries over others: mappings key by key, and a comment where the upper entry has one."""
    merged = dict(base)
    for name, entry in over.items():
        under = base.get(name)
        if under is None:
            merged[name] = entry
            continue
        value, flow = entry.value, entry.flow
        if entry.children is not None and under.children is not None:
            value, flow = merge(under.children, entry.children), under.flow
        above = entry.above if any(entry.above) else under.above
        merged[name] = replace(under, value=value, flow=flow, above=above, note=entry.note or under.note)
    return merged


def below(entries: Mapping[str, Entry], place: str) -> dict[str, Entry]:
    """Return the entries of the mapping at `a.b`; none where there is no such mapping."""
    inside: dict[str, Entry] = dict(entries)
    for part in place.split("."):
        entry = inside.get(part)
        inside = (entry.children if entry else None) or {}
    return inside


def placed(entries: Mapping[str, Entry], place: str, content: dict[str, Entry]) -> dict[str, Entry]:
    """Return entries with other ones in the mapping at `a.b`, if it is there."""
    first, _, rest = place.partition(".")
    entry = entries.get(first)
    if entry is None or entry.children is None:
        return dict(entries)
    return {**entries, first: replace(entry, value=placed(entry.children, rest, content) if rest else content)}


def _read(path: Path) -> Document:
    try:
        return parse(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: restore it from git") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no UTF-8 text: save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _recipes(folder: Path, members: Sequence[str]) -> dict[str, Entry]:
    """Read the recipes that there are of these members."""
    recipes: dict[str, Entry] = {}
    for member in members:
        path = folder / f"{member}.yaml"
        if path.is_file():
            recipe = _read(path)
            recipes[member] = Entry(member, shifted(recipe.entries, RECIPE_INDENT), above=recipe.head)
    return recipes


def _names(entries: Mapping[str, Entry], axis: str) -> list[str]:
    """Return the names in a list; none where it is no list, which is refused once the whole is checked."""
    listed = plain(entries[axis].value) if axis in entries else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _check_known(overlay: Mapping[str, Entry], base: Mapping[str, Entry]) -> None:
    free = [key for key in known_keys() if key.free]
    unknown = list(_unknown(overlay, base, free))
    refuse_renamed(unknown)
    if unknown:
        nearest = _nearest(unknown[0], [place for place, _ in leaves(base)])
        raise UserError(f"{unknown[0]} is no key of {FOLDER}/{DEFAULT}.yaml{nearest}")


def _unknown(
    overlay: Mapping[str, Entry], base: Mapping[str, Entry], free: Sequence[Key], place: str = ""
) -> Iterator[str]:
    """Yield the places in an overlay that the base does not have, where not any name may stand."""
    any_name = find(place.removesuffix("."), free) is not None
    for name, entry in overlay.items():
        if name in base:
            yield from _unknown(entry.children or {}, base[name].children or {}, free, f"{place}{name}.")
        elif not any_name:
            yield from (inner for inner, _ in leaves({name: entry}, place))


def _nearest(name: str, known: Sequence[str]) -> str:
    """Say which of the known names is meant, most likely: one that ends alike, or is spelled alike."""
    last = name.rpartition(".")[2]
    close = [place for place in known if place.rpartition(".")[2] == last] or get_close_matches(name, known, n=1)
    return f": the nearest is {close[0]}" if close else ""
