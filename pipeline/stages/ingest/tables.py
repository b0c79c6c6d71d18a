"""What `ingest` yields."""

from __future__ import annotations

from typing import Literal, get_args

import pandas as pd

from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.core.table import Table, integer, number, text

Reason = Literal[
    "not_an_image",
    "truncated",
    "empty_file",
    "too_large",
    "undecodable",
    "unknown_label",
    "no_label",
    "image_missing",
    "metadata_missing",
    "unsupported_format",
    "repeated_id",
    "malformed_row",
    "implausible_value",
    "blank",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

StoredAs = Literal["received", "stripped", "reencoded"]


class Images(Table):
    """Every accepted image, with provenance; its pixels lie upright, in sRGB, in a tar shard."""

    key = ("image_id",)
    columns = (
        text("image_id", "`<batch>:<source_id>`"),
        text("sha256", "of the bytes received"),
        text("pixel_sha256", "of height, width and decoded RGB bytes, upright: equal for re-wrapped files"),
        text("stored_sha256", "of the bytes in the shard"),
        text(
            "stored_as",
            "`received`: the original bytes; `stripped`: without metadata, pixels untouched; `reencoded`: normalised",
            choices=get_args(StoredAs),
        ),
        text("shard", "path below data/ingest/<batch>/"),
        integer("offset", "of the first byte in the shard"),
        integer("size", "bytes in the shard"),
        integer("width", "pixels, upright"),
        integer("height", "pixels, upright"),
        text("diagnosis", "canonical diagnosis, by the taxonomy"),
        text("raw_label", "the label as the source gives it"),
        text("label_evidence", "how the diagnosis was confirmed; never a feature", nullable=True),
        text("lesion_id", "`<batch>:<id>`; images of one lesion share it", nullable=True),
        text("patient_id", "`<batch>:<pseudonym>`", nullable=True),
        number("age", "years", nullable=True),
        text("sex", "as the source gives it", nullable=True),
        text("site", "body site", nullable=True),
        text("skin_tone", "Fitzpatrick or other scale, as the source gives it", nullable=True),
        text("licence", "SPDX or Creative Commons id"),
        text("attribution", "whom to name"),
        text("page", "address of the page that shows the image", nullable=True),
        text("origin_url", "address of the image", nullable=True),
        text("fetched_at", "ISO 8601, from the source's own records", nullable=True),
    )


class Rejects(Table):
    """Every raw row that did not become an image, with the reason."""

    key = ("batch", "source_id")
    columns = (
        text("batch", "its batch"),
        text("source_id", "as in image_id, or the metadata row's id"),
        text("reason", "why", choices=REASONS),
        text("detail", "the value or message that shows it"),
    )


def open_pixels(store: Store, images: pd.DataFrame) -> Pixels:
    """Return random access to the decoded pixels of `images` (rows of the table Images, in their order)."""
    batches = images["image_id"].str.split(":", n=1).str[0]  # partition fails on an empty table
    paths = f"data/{Images.stage()}/" + batches + "/" + images["shard"]
    for relative in paths.unique():
        store.input(relative)
    return Pixels(store.root, list(paths), images["offset"].to_numpy(), images["size"].to_numpy())
