"""The curated dataset as FiftyOne shows it: the only module that imports fiftyone.

The database is a view of the tables and is built anew when they change. The tags in it are the only thing of value:
they move over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import pandas as pd
from fiftyone import ViewField
from fiftyone.core.session.client import _ping
from fiftyone.core.session.session import _server_services as servers

from pipeline.core.progress import step, track
from pipeline.ledger.decisions import BROWSING
from pipeline.ledger.replay import Subject
from pipeline.review.queues import QUEUES
from pipeline.review.samples import PROVENANCE, Samples, export
from pipeline.review.server import Server
from pipeline.review.tags import Tag

BUILDING = "building-"  # before a dataset's name, while it is built
ELSEWHERE = "tags of images that are not here"  # in a dataset's info, by image_id
PANEL = "steward"
FIELDS = (
    "image_id",
    "place",
    "other",
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
SHOWN = ("tags", "diagnosis", "suggested", "error_probability", "excluded", "decision")  # of all images
SHOWN_OF_CASES = ("tags", "decision")  # the panel says the rest, and nothing lies over the picture
LABELS = ("diagnosis", "suggested")
HOW_TO = (
    "Tag a sample with a verdict: keep, drop, not_sure or relabel:<diagnosis>. About a pair, tag the copy with "
    "not_a_duplicate or same_lesion, or any image with not_a_duplicate:<image_id> or same_lesion:<image_id>; a missed "
    "copy with copy_of:<image_id> of the one that stays. withdraw takes your own verdict back. "
    "Tags are read, on samples and on labels, when the session is closed; the panel's keys record at once."
)

Dataset = Any  # FiftyOne carries no types


def open_dataset(samples: Samples, pictures: Path, name: str = BROWSING) -> Dataset:
    """Open the dataset of these samples, or build it, moving the tags of the one before.

    Args:
        samples: what to show, a row a case.
        pictures: folder for the files that the App needs.
        name: of the queue; each has a dataset of its own.

    """
    building = BUILDING + name
    existing = next((found for found in (name, building) if fo.dataset_exists(found)), None)
    before = fo.load_dataset(existing) if existing else None
    paths = export(samples, pictures)
    if before is not None and existing == name and before.info.get("digest") == samples.digest:
        return before
    tags = read_tags(before) if before is not None else {}
    if fo.dataset_exists(building):
        fo.delete_dataset(building)
    dataset = _build(samples, paths, tags, building)
    if existing == name:
        fo.delete_dataset(name)
    dataset.name = name
    return dataset


def open_datasets() -> list[Dataset]:
    """Open every dataset that a steward's database holds, whole ones only."""
    return [fo.load_dataset(name) for name in fo.list_datasets() if not name.startswith(BUILDING)]


def delete_if_old(dataset: Dataset) -> bool:
    """Delete a dataset of an earlier version, which is no queue's, once no tag is left in it; say whether it is one."""
    old = dataset.name not in QUEUES
    if old and not read_tags(dataset):
        fo.delete_dataset(dataset.name)
    return old


def read_tags(dataset: Dataset) -> dict[str, list[str]]:
    """Read all tags, by image_id: of samples, of their labels, and those that waited for an image that is not here."""
    tags = {image: list(texts) for image, texts in dataset.info.get(ELSEWHERE, {}).items()}
    for field in ("tags", *(f"{label}.tags" for label in LABELS)):
        for image, texts in zip(*dataset.values(["image_id", field]), strict=True):
            tags.setdefault(image, []).extend(texts or [])
    return {image: sorted(set(texts)) for image, texts in tags.items() if texts}


def remove_tags(dataset: Dataset, settled: Sequence[Tag]) -> None:
    """Take away the tags that have become decisions, wherever they stand."""
    gone = {(tag.image_id, tag.text) for tag in settled}
    for field in ("tags", *(f"{label}.tags" for label in LABELS)):
        changed = {}
        for name, image, texts in zip(*dataset.values(["id", "image_id", field]), strict=True):
            left = [text for text in texts or [] if (image, text) not in gone]
            if left != (texts or []):
                changed[name] = left
        if changed:
            dataset.set_values(field, changed, key_field="id")
    elsewhere = {
        image: [text for text in texts if (image, text) not in gone]
        for image, texts in dataset.info.get(ELSEWHERE, {}).items()
    }
    dataset.info[ELSEWHERE] = {image: texts for image, texts in elsewhere.items() if texts}
    dataset.save()


def show_decisions(dataset: Dataset, said: Mapping[Subject, str]) -> None:
    """Write into the field `decision` what is said of every image or pair."""
    cases = zip(*dataset.values(["image_id", "other"]), strict=True)
    subjects = [tuple(sorted((image, other))) if other else (image,) for image, other in cases]
    dataset.set_values("decision", [said.get(subject) for subject in subjects])


def launch(dataset: Dataset, server: Server, *, plane: bool) -> Any:  # noqa: ANN401 - a fo.Session
    """Open the App on a dataset, with the pictures beside the panel, or the plane of embeddings; return the session.

    The client must not begin before the server answers: it sleeps for ten seconds after a first ping that fails.

    Raises:
        UserError: the server does not answer.

    """
    pictures = fo.Panel(type="Samples", pinned=True)
    beside = fo.Panel(type="Embeddings" if plane else PANEL)
    halves = [fo.Space(children=[panel], active_child=panel.component_id) for panel in (pictures, beside)]
    spaces = fo.Space(children=halves, orientation="horizontal", sizes=[0.6, 0.4])
    with step("start the App"):
        server.wait_until_answering(_ping)
        servers[server.port] = server
        return fo.launch_app(dataset, address=server.address, port=server.port, remote=True, spaces=spaces)


def _build(samples: Samples, paths: Sequence[Path], tags: Mapping[str, list[str]], name: str) -> Dataset:
    dataset = fo.Dataset(name, persistent=True)
    dataset.description = HOW_TO
    whole = samples.positions is not None
    dataset.app_config.active_fields = fo.ActiveFields(paths=list(SHOWN if whole else SHOWN_OF_CASES))
    for field in FIELDS:
        dataset.add_sample_field(field, **_field(samples.rows[field]))
    dataset.add_sample_field("decision", fo.StringField)
    groups = fo.DatasetAppConfig.default_sidebar_groups(dataset)
    for group in groups:
        group.expanded = whole or group.name == "tags"
    dataset.app_config.sidebar_groups = groups
    entries = []
    for row, path in zip(samples.rows.to_dict("records"), paths, strict=True):
        sample = fo.Sample(str(path), tags=tags.get(row["image_id"], []))
        for field in FIELDS:
            sample[field] = None if _missing(row[field]) else row[field]
        sample["diagnosis"] = fo.Classification(label=row["diagnosis"])
        if not _missing(row["suggested"]):
            sample["suggested"] = fo.Classification(label=row["suggested"])
        entries.append(sample)
    dataset.add_samples(track(entries, "fill the dataset", unit="images"), num_samples=len(entries))
    if whole:
        with step("index the plane of embeddings"):
            fob.compute_visualization(dataset, points=samples.positions, brain_key="embeddings", method="manual")
        _save_views(dataset)
    dataset.info["digest"] = samples.digest
    here = set(samples.rows["image_id"])
    dataset.info[ELSEWHERE] = {image: texts for image, texts in tags.items() if image not in here}
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
    kinds = {"f": fo.FloatField, "b": fo.BooleanField, "i": fo.IntField}
    return {"ftype": kinds.get(values.dtype.kind, fo.StringField)}


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value) or value is pd.NA  # noqa: PLR0124 - NaN
