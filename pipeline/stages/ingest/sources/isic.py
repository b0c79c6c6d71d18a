"""A folder as `isic image download` writes it: images, metadata.csv, and the texts of attributions and licences."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.stages.ingest.rows import Entry, Listing, Locator
from pipeline.stages.ingest.sources import metadata
from pipeline.stages.ingest.sources.files import list_raw
from pipeline.stages.ingest.sources.raw_tables import Row, read_table
from pipeline.stages.ingest.sources.side_files import sort_by_id

METADATA = "metadata"
TEXTS = re.compile(r"attribution\.txt|licenses/[^/]+\.txt")

# The columns of each field, the present schema's beside earlier ones; the first that a row fills counts.
FIELDS = {
    # The most specific level first; before 2024 the archive had one column `diagnosis`.
    "diagnosis": ("diagnosis_5", "diagnosis_4", "diagnosis_3", "diagnosis_2", "diagnosis_1", "diagnosis"),
    "licence": ("copyright_license",),
    "attribution": ("attribution",),
    "label_evidence": ("diagnosis_confirm_type",),
    "lesion_id": ("lesion_id",),
    "patient_id": ("patient_id",),
    "age": ("age_approx",),
    "sex": ("sex",),
    # Regions, not places: of anatom_site_1 to anatom_site_5 the first parts the body as anatom_site_general did.
    "site": ("anatom_site_general", "anatom_site_1"),
    "skin_tone": ("fitzpatrick_skin_type",),
}
EVIDENCE = {
    "serial imaging showing no change": "follow-up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}
# The archive names no version; its licence texts are those of Creative Commons 4.0.
LICENCES = {"CC-0": "CC0-1.0", "CC-BY": "CC-BY-4.0", "CC-BY-NC": "CC-BY-NC-4.0"}


def read(folder: Path, *, licence: str, attribution: str) -> Listing:
    """List the images with their metadata rows; licence and attribution of an image go before those of the batch.

    Raises:
        UserError: metadata.csv is missing or unreadable.

    """
    raw = list_raw(folder)
    there = {file.name for file in raw.files}
    remedy = "download the batch with `isic image download`"
    name = metadata.find_table(there, METADATA, folder=folder, remedy=remedy, suffix=".csv")
    files = [file for file in raw.files if file.name != name and not TEXTS.fullmatch(file.name)]
    columns = {column for field in FIELDS.values() for column in field}
    table = read_table(folder / name, required=("isic_id",), known=columns)

    def build(row: Row, locator: Locator) -> Entry:
        given = metadata.licence_of(row, FIELDS["licence"])
        confirmed = metadata.first_of(row, FIELDS["label_evidence"])
        return Entry(
            source_id=row["isic_id"],
            locator=locator,
            labels=tuple(label for column in FIELDS["diagnosis"] if (label := metadata.first_of(row, [column]))),
            licence=LICENCES.get(given, given) if given else licence,
            attribution=row.get("attribution", "") or attribution,
            label_evidence=EVIDENCE.get(confirmed, confirmed) if confirmed else None,
            lesion_id=metadata.first_of(row, FIELDS["lesion_id"]),
            patient_id=metadata.first_of(row, FIELDS["patient_id"]),
            age=metadata.age_of(row, FIELDS["age"]),
            sex=metadata.sex_of(row, FIELDS["sex"]),
            site=metadata.first_of(row, FIELDS["site"]),
            skin_tone=metadata.first_of(row, FIELDS["skin_tone"]),
        )

    images = sort_by_id(folder, files, {row["isic_id"] for _, row in table.rows})
    ignored = raw.litter + len(raw.files) - len(files)
    listing = metadata.match(table, images, key="isic_id", build=build, ignored_files=ignored)
    return listing.plus(rejects=raw.rejects, notes=(*raw.notes, *metadata.missing_columns(table, FIELDS)))
