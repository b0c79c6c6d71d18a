"""A folder as `isic image download` writes it: images, metadata.csv, and the texts of attributions and licences."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.ingest.rows import Entry, Listing, Locator
from pipeline.ingest.sources import metadata
from pipeline.ingest.sources.files import list_files, without_litter

METADATA = "metadata.csv"
TEXTS = re.compile(r"attribution\.txt|licenses/[^/]+\.txt")

# The most specific level first; before 2024 the archive had one column `diagnosis`.
DIAGNOSES = ("diagnosis_5", "diagnosis_4", "diagnosis_3", "diagnosis_2", "diagnosis_1", "diagnosis")
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
    files, litter = without_litter(list_files(folder))
    if METADATA not in {file.name for file in files}:
        raise UserError(f"{folder} lacks {METADATA}: download the batch with `isic image download`")
    images = [file for file in files if file.name != METADATA and not TEXTS.fullmatch(file.name)]
    rows = metadata.read_rows(folder / METADATA, required=("isic_id",))

    def build(row: metadata.Row, locator: Locator) -> Entry:
        given, confirmed = row.get("copyright_license", ""), metadata.text_of(row, "diagnosis_confirm_type")
        return Entry(
            source_id=row["isic_id"],
            locator=locator,
            labels=tuple(label for column in DIAGNOSES if (label := row.get(column, ""))),
            licence=LICENCES.get(given, given) or licence,
            attribution=row.get("attribution", "") or attribution,
            label_evidence=EVIDENCE.get(confirmed, confirmed) if confirmed else None,
            lesion_id=metadata.text_of(row, "lesion_id"),
            patient_id=metadata.text_of(row, "patient_id"),
            age=metadata.number_of(row, "age_approx"),
            sex=metadata.text_of(row, "sex"),
            site=metadata.text_of(row, "anatom_site_general"),
            skin_tone=metadata.text_of(row, "fitzpatrick_skin_type"),
        )

    ignored = litter + len(files) - len(images)
    return metadata.match(rows, images, key="isic_id", build=build, ignored_files=ignored)
