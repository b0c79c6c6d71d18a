"""`python -m tests.derive_profiles WHOLE TEMPLATE TARGET`: make overlays of profiles that are written out in full.

WHOLE holds `<profile>.yaml` with every key; the values of its `demo.yaml` become TARGET/default.yaml, in the order and
with the comments of the file TEMPLATE. What the other profiles say otherwise becomes TARGET/<profile>.yaml, and demo's
members TARGET/members/<member>.yaml.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.profiles import DEFAULT, LISTED, RECIPES, below, merge, placed
from pipeline.schema import find, known_keys
from pipeline.yaml_text import Document, Entry, parse, plain, write


def derive(default: Mapping[str, Entry], whole: Mapping[str, Entry], place: str = "") -> dict[str, Entry]:
    """Return what a profile says otherwise than the default, with those of its comments that the default has not.

    Raises:
        ValueError: the profile lacks a key of the default, which no overlay can say.

    """
    lacks = [f"{place}{name}" for name in default if name not in whole and place.removesuffix(".") not in LISTED]
    if lacks:
        raise ValueError(f"the profile lacks {', '.join(lacks)}")
    found: dict[str, Entry] = {}
    for name, entry in whole.items():
        under = default.get(name)
        bare = entry if under is None else replace(entry, above=(), note="" if entry.note == under.note else entry.note)
        if under is None or not (entry.children and under.children):
            if under is None or plain(entry.value) != plain(under.value):
                found[name] = bare
        elif inner := derive(under.children, entry.children, f"{place}{name}."):
            found[name] = replace(bare, value=inner, note="")
    return found


def lay_out(template: Mapping[str, Entry], whole: Mapping[str, Entry], place: str = "") -> dict[str, Entry]:
    """Return the values of a profile in the order and with the comments of a template.

    What the template alone has stays if a stage reads it; what the profile alone has comes last.
    """
    keys = known_keys()
    found: dict[str, Entry] = {}
    for name, entry in template.items():
        value = whole.get(name)
        if value is None:
            if entry.children or find(f"{place}{name}", keys):
                inner = lay_out(entry.children, {}, f"{place}{name}.") if entry.children else entry.value
                if inner:
                    found[name] = replace(entry, value=inner)
        elif entry.children and value.children:
            found[name] = replace(entry, value=lay_out(entry.children, value.children, f"{place}{name}."))
        else:
            found[name] = replace(value, above=entry.above, note=entry.note or value.note, column=entry.column)
    return found | {name: entry for name, entry in whole.items() if name not in template}


def main(whole: Path, template: Path, target: Path) -> None:
    """Write default, overlays and recipes."""
    documents = {path.stem: parse(path.read_text("utf-8")) for path in sorted(whole.glob("*.yaml"))}
    wanted = parse(template.read_text("utf-8"))
    members = below(documents["demo"].entries, "train.members")
    demo = placed(documents["demo"].entries, "train.members", {})
    default = Document(wanted.head, lay_out(wanted.entries, demo))
    (target / RECIPES).mkdir(parents=True, exist_ok=True)
    for name, entry in members.items():
        recipe = target / RECIPES / f"{name}.yaml"
        known = parse(recipe.read_text("utf-8")) if recipe.exists() else Document((), {})
        recipe.write_text(write(Document(known.head, lay_out(known.entries, entry.children or {}))), "utf-8")
    (target / f"{DEFAULT}.yaml").write_text(write(default), "utf-8")
    base = placed(default.entries, "train.members", members)
    for name, document in documents.items():
        recipes = below(document.entries, "train.members")
        listed = {member: recipes[member] for member in plain(document.entries["members"].value)}
        overlay = derive(base, merge(base, placed(document.entries, "train.members", listed)))
        (target / f"{name}.yaml").write_text(write(Document(document.head, overlay)), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
