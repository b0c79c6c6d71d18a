"""Gives every entry its canonical diagnosis, or a reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.taxonomy import AS_GIVEN, canonical, read_taxonomy
from pipeline.ingest.rows import Entry, Listing, Reject


def named_taxonomy(folder: Path, name: str) -> dict[str, str] | None:
    """Read `<folder>/<name>.csv`; None stands for `as_given`.

    Raises:
        UserError: there is no such file, or it is not a taxonomy.

    """
    if name == AS_GIVEN:
        return None
    there = sorted(path.stem for path in folder.glob("*.csv"))
    if name not in there:
        choices = ", ".join([*there, AS_GIVEN])
        raise UserError(f"taxonomy {name!r} is no file of {folder.name}/: name one of {choices}, or add {name}.csv")
    return read_taxonomy(folder / f"{name}.csv")


def diagnose(listing: Listing, mapping: Mapping[str, str] | None) -> Listing:
    """Fill in `raw_label` and `diagnosis` of every entry; the first of its labels that is known wins.

    Args:
        listing: as a reader yields it.
        mapping: from `named_taxonomy`.

    Returns:
        entries with a diagnosis; the others have become rejects that quote their labels.

    """
    entries, rejects = [], list(listing.rejects)
    for entry in listing.entries:
        found = _first_known(entry, mapping)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            rejects.append(found)
    return Listing(tuple(entries), tuple(rejects), listing.ignored_files)


def _first_known(entry: Entry, mapping: Mapping[str, str] | None) -> Entry | Reject:
    for label in entry.labels:
        diagnosis = canonical(label, mapping)
        if diagnosis:
            return replace(entry, raw_label=label, diagnosis=diagnosis)
    if any(label.strip() for label in entry.labels):
        return Reject(entry.source_id, "unknown_label", " < ".join(entry.labels))
    return Reject(entry.source_id, "no_label", "the source gives none")
