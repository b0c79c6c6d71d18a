"""HAM10000 as the Harvard Dataverse publishes it (doi:10.7910/DVN/DBW86T): two image zips and a metadata table.

Its attributes: Tschandl, Rosendahl, Kittler, "The HAM10000 dataset", Scientific Data 5, 180161 (2018). The segmentation
masks beside them are not ingested yet.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.ingest.rows import Entry, Listing, Locator
from pipeline.ingest.sources import metadata
from pipeline.ingest.sources.files import list_files, list_members, without_litter

ARCHIVES = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip")
METADATA = (
    "HAM10000_metadata",
    "HAM10000_metadata.csv",
    "HAM10000_metadata.tab",
)  # as received, or as Dataverse converts it

EVIDENCE = {"histo": "histopathology", "follow_up": "follow-up", "consensus": "consensus", "confocal": "confocal"}


def read(folder: Path, *, licence: str, attribution: str) -> Listing:
    """List the images of both zips with their metadata rows.

    Raises:
        UserError: an archive is missing or unreadable, or there are several metadata files.

    """
    present = {file.name for file in list_files(folder)}
    tables = [name for name in METADATA if name in present]
    lacking = [name for name in ARCHIVES if name not in present] + ([] if tables else [METADATA[0]])
    if lacking:
        raise UserError(f"{folder} lacks {', '.join(lacking)}: run `python -m pipeline fetch ham10000`")
    if len(tables) > 1:
        raise UserError(f"{folder} holds {' and '.join(tables)}: keep one of them")
    members, litter = without_litter(member for archive in ARCHIVES for member in list_members(folder, archive))
    rows = metadata.read_rows(folder / tables[0], required=("image_id", "lesion_id", "dx", "dx_type"))

    def build(row: metadata.Row, locator: Locator) -> Entry:
        return Entry(
            source_id=row["image_id"],
            locator=locator,
            labels=(row["dx"],) if row["dx"] else (),
            licence=licence,
            attribution=attribution,
            label_evidence=EVIDENCE.get(row["dx_type"], metadata.text_of(row, "dx_type")),
            lesion_id=metadata.text_of(row, "lesion_id"),
            age=metadata.number_of(row, "age"),
            sex=metadata.text_of(row, "sex"),
            site=metadata.text_of(row, "localization"),
        )

    others = len(present) - len(ARCHIVES) - len(tables)
    return metadata.match(rows, members, key="image_id", build=build, ignored_files=litter + others)
