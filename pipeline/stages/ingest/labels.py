"""Gives every entry its canonical diagnosis, or a reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.taxonomy import AS_GIVEN, canonical, normalise
from pipeline.stages.ingest.rows import Entry, Listing, Reject
from pipeline.stages.ingest.sources.raw_tables import read_table


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


def read_taxonomy(path: Path) -> dict[str, str]:
    """Read a taxonomy file: a table with the columns `raw` and `diagnosis`; `#` starts a comment line.

    Returns:
        canonical diagnosis by normalised raw label.

    Raises:
        UserError: it is no such table, a raw label has no diagnosis or stands for two, or two diagnoses differ by case,
            spacing, underscores or Unicode form only.

    """
    table = read_table(path, required=("raw", "diagnosis"), literal=("raw",), comment="#")
    if table.misfits:
        first = table.misfits[0]
        remedy = "give one raw label, in quotes if it holds a comma, and one diagnosis"
        raise UserError(f"{path.name}: row {first.number} has {first.detail}: {remedy}")
    mapping: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for number, row in table.rows:
        raw, diagnosis = row["raw"], row["diagnosis"]
        if not raw or not diagnosis:
            raise UserError(
                f"{path.name}: row {number} holds {list(row.values())}: give one raw label and one diagnosis"
            )
        if mapping.setdefault(normalise(raw), diagnosis) != diagnosis:
            raise UserError(f"{path.name} maps {raw!r} to two diagnoses: keep one of the lines")
        known = spellings.setdefault(normalise(diagnosis), diagnosis)
        if known != diagnosis:
            raise UserError(f"{path.name} spells one diagnosis {known!r} and {diagnosis!r}: choose one of them")
    return mapping


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
        labelled = _first_known(entry, mapping)
        if isinstance(labelled, Entry):
            entries.append(labelled)
        else:
            rejects.append(labelled)
    notes = listing.notes
    if len(entries) > 1 and len({entry.diagnosis for entry in entries}) == 1:
        notes += (f"all {len(entries)} images have one diagnosis, {entries[0].diagnosis}",)
    return Listing(tuple(entries), tuple(rejects), listing.ignored_files, notes)


def _first_known(entry: Entry, mapping: Mapping[str, str] | None) -> Entry | Reject:
    for label in entry.labels:
        diagnosis = canonical(label, mapping)
        if diagnosis:
            return replace(entry, raw_label=label, diagnosis=diagnosis)
    if any(label.strip() for label in entry.labels):
        return Reject(entry.source_id, "unknown_label", " < ".join(entry.labels))
    return Reject(entry.source_id, "no_label", "the source gives none")
