"""The curated dataset as FiftyOne shows it: the only module that imports fiftyone.

The database is a view of the tables and is built anew when they change. The tags in it are the only thing of value:
they move over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partialmethod
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import pandas as pd
from fiftyone import ViewField
from fiftyone.core.service import ServerService, Service, ServiceListenTimeout

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import Decision
from pipeline.ledger.replay import DISPUTED, UNSIGNED, Verdicts
from pipeline.review.samples import PROVENANCE, Samples, export
from pipeline.review.tags import Tag

NAME, BUILDING = "curated", "curated-building"
START_S = 600.0  # for the App's server; FiftyOne says a minute, which a busy machine may need for its imports alone
FIELDS = (
    "image_id",
    "split",
    "group_id",
    "duplicate_of",
    "copies",
    "related",
    "excluded",
    "error_probability",
    "suspect",
    "ambiguous",
    "reason",
    "off_topic",
    *PROVENANCE,
)
SHOWN = ("tags", "diagnosis", "suggested", "error_probability", "excluded", "decision")  # on every picture
HOW_TO = (
    "Tag a sample with a verdict: keep, drop, not_sure or relabel:<diagnosis>. About a pair, tag the copy with "
    "not_a_duplicate or same_lesion, or any image with not_a_duplicate:<image_id> or same_lesion:<image_id>; a missed "
    "copy with copy_of:<image_id> of the one that stays. withdraw takes your own verdict back. "
    "Verdicts are recorded when the session is closed."
)

Dataset = Any  # FiftyOne carries no types


def open_dataset(samples: Samples, pictures: Path) -> Dataset:
    """Open the dataset of these samples, or build it, moving the tags of the one before.

    Args:
        samples: what to show.
        pictures: folder for the files that the App needs.

    """
    existing = next((name for name in (NAME, BUILDING) if fo.dataset_exists(name)), None)
    before = fo.load_dataset(existing) if existing else None
    if before is not None and existing == NAME and before.info.get("digest") == samples.digest:
        return before
    tags = read_tags(before) if before is not None else {}
    if fo.dataset_exists(BUILDING):
        fo.delete_dataset(BUILDING)
    dataset = _build(samples, export(samples, pictures), tags)
    if existing == NAME:
        fo.delete_dataset(NAME)
    dataset.name = NAME
    return dataset


def read_tags(dataset: Dataset) -> dict[str, list[str]]:
    """Read all tags, by image_id."""
    ids, tags = dataset.values(["image_id", "tags"])
    return {image_id: texts for image_id, texts in zip(ids, tags, strict=True) if texts}


def remove_tags(dataset: Dataset, settled: Sequence[Tag]) -> None:
    """Take away the tags that have become decisions."""
    tags = read_tags(dataset)
    for tag in settled:
        tags[tag.image_id] = [text for text in tags[tag.image_id] if text != tag.text]
    changed = {tag.image_id: tags[tag.image_id] for tag in settled}
    if changed:
        dataset.set_values("tags", changed, key_field="image_id")


def show_decisions(dataset: Dataset, verdicts: Verdicts) -> None:
    """Write into the field `decision` what is in force on every image, or what is said and does not hold yet."""
    said = {image: _say([decision]) for image, decision in verdicts.images.items()}
    for subject, words in verdicts.last.items():
        if len(subject) == 1 and subject[0] not in verdicts.images:
            disputed = len({word.meaning for word in words}) > 1
            said[subject[0]] = f"{DISPUTED if disputed else UNSIGNED}: {_say(words)}"
    dataset.set_values("decision", [said.get(image) for image in dataset.values("image_id")])


def _say(words: Sequence[Decision]) -> str:
    return ", ".join(f"{word.verdict} {word.to}".strip() + f" ({word.steward})" for word in words)


def launch(dataset: Dataset, *, address: str, port: int, browser: bool) -> Any:  # noqa: ANN401 - a fo.Session
    """Start the App's server, with the pictures beside the plane of embeddings; return the session.

    Raises:
        UserError: the server does not listen within `START_S`.

    """
    pictures = fo.Panel(type="Samples", pinned=True)
    plane = fo.Panel(type="Embeddings")
    halves = [fo.Space(children=[panel], active_child=panel.component_id) for panel in (pictures, plane)]
    spaces = fo.Space(children=halves, orientation="horizontal", sizes=[0.6, 0.4])
    waits = partialmethod(Service._wait_for_child_port, timeout=START_S)  # noqa: SLF001 - there is no other way to say it
    ServerService._wait_for_child_port = waits  # noqa: SLF001 - likewise
    try:
        return fo.launch_app(dataset, address=address, port=port, remote=not browser, spaces=spaces)
    except ServiceListenTimeout:
        raise UserError(
            f"FiftyOne's server did not listen on port {port} in {START_S:.0f} s: try again on a less busy machine"
        ) from None


def _build(samples: Samples, paths: Sequence[Path], tags: Mapping[str, list[str]]) -> Dataset:
    dataset = fo.Dataset(BUILDING, persistent=True)
    dataset.description = HOW_TO
    dataset.app_config.active_fields = fo.ActiveFields(paths=list(SHOWN))
    for name in FIELDS:
        dataset.add_sample_field(name, **_field(samples.rows[name]))
    dataset.add_sample_field("decision", fo.StringField)
    entries = []
    for row, path in zip(samples.rows.to_dict("records"), paths, strict=True):
        sample = fo.Sample(str(path), tags=tags.get(row["image_id"], []))
        for name in FIELDS:
            sample[name] = None if _missing(row[name]) else row[name]
        sample["diagnosis"] = fo.Classification(label=row["diagnosis"])
        if not _missing(row["suggested"]):
            sample["suggested"] = fo.Classification(label=row["suggested"])
        entries.append(sample)
    dataset.add_samples(entries)
    fob.compute_visualization(dataset, points=samples.positions, brain_key="embeddings", method="manual")
    _save_views(dataset)
    dataset.info["digest"] = samples.digest
    dataset.save()
    return dataset


def _save_views(dataset: Dataset) -> None:
    sets = dataset.match(ViewField("copies") != None)  # noqa: E711 - a query, not a comparison
    dataset.save_view("duplicates", sets.group_by("copies", order_by="image_id"))
    dataset.save_view("duplicates side by side", sets.sort_by([("copies", 1), ("image_id", 1)]))
    suspects = dataset.match(ViewField("suspect") == True)  # noqa: E712 - likewise
    dataset.save_view("suspects", suspects.sort_by("error_probability", reverse=True))
    ambiguous = dataset.match(ViewField("ambiguous") == True)  # noqa: E712 - likewise
    dataset.save_view("ambiguous", ambiguous.sort_by("error_probability", reverse=True))
    scored = dataset.match(ViewField("off_topic") != None)  # noqa: E711 - likewise
    dataset.save_view("off topic", scored.sort_by("off_topic", reverse=True))
    dataset.save_view("decided", dataset.match(ViewField("decision") != None))  # noqa: E711 - likewise


def _field(values: pd.Series[Any]) -> dict[str, Any]:
    """Choose the FiftyOne field of a column."""
    if values.name == "related":
        return {"ftype": fo.ListField, "subfield": fo.StringField}
    kinds = {"f": fo.FloatField, "b": fo.BooleanField}
    return {"ftype": kinds.get(values.dtype.kind, fo.StringField)}


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value) or value is pd.NA  # noqa: PLR0124 - NaN
