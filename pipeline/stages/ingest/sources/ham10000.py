"""HAM10000 as the Harvard Dataverse publishes it (doi:10.7910/DVN/DBW86T): two image zips and a metadata table.

Its attributes: Tschandl, Rosendahl, Kittler, "The HAM10000 dataset", Scientific Data 5, 180161 (2018). The segmentation
masks beside them are not ingested yet.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Entry, Listing, Locator
from pipeline.stages.ingest.sources import metadata
from pipeline.stages.ingest.sources.archives import list_members
from pipeline.stages.ingest.sources.files import list_raw, without_litter
from pipeline.stages.ingest.sources.raw_tables import Row, read_table
from pipeline.stages.ingest.sources.side_files import sort_by_id

ARCHIVES = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip")
METADATA = "HAM10000_metadata"  # as received; Dataverse converts it to .tab

FIELDS = {
    "lesion_id": ("lesion_id",),
    "diagnosis": ("dx",),
    "label_evidence": ("dx_type",),
    "age": ("age",),
    "sex": ("sex",),
    "site": ("localization",),
}
EVIDENCE = {"histo": "histopathology", "follow_up": "follow-up", "consensus": "consensus", "confocal": "confocal"}


def read(folder: Path, *, licence: str, attribution: str) -> Listing:
    """List the images of both zips with their metadata rows.

    Raises:
        UserError: an archive is missing or unreadable, or there are several metadata files.

    """
    present = {file.name for file in list_raw(folder, expand=False).files}
    remedy = "run `python -m pipeline fetch ham10000`"
    lacking = [name for name in ARCHIVES if name not in present]
    if lacking:
        raise UserError(f"{folder} lacks {', '.join(lacking)}: {remedy}")
    name = metadata.find_table(present, METADATA, folder=folder, remedy=remedy)
    members, litter = without_litter(
        folder, [member for archive in ARCHIVES for member in list_members(folder, archive).files]
    )
    table = read_table(folder / name, required=("image_id", "lesion_id", "dx", "dx_type"))

    def build(row: Row, locator: Locator) -> Entry:
        label, confirmed = (metadata.first_of(row, FIELDS[field]) for field in ("diagnosis", "label_evidence"))
        return Entry(
            source_id=row["image_id"],
            locator=locator,
            labels=(label,) if label else (),
            licence=licence,
            attribution=attribution,
            label_evidence=EVIDENCE.get(confirmed, confirmed) if confirmed else None,
            lesion_id=metadata.first_of(row, FIELDS["lesion_id"]),
            age=metadata.age_of(row, FIELDS["age"]),
            sex=metadata.sex_of(row, FIELDS["sex"]),
            site=metadata.first_of(row, FIELDS["site"]),
        )

    others = len(present) - len(ARCHIVES) - 1
    images = sort_by_id(folder, members, {row["image_id"] for _, row in table.rows})
    listing = metadata.match(table, images, key="image_id", build=build, ignored_files=litter + others)
    return listing.plus(notes=metadata.missing_columns(table, FIELDS))
