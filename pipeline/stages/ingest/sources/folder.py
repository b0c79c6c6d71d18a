"""Class-named folders, as web scrapers leave them: the label is the name of the folder that holds the image.

An archive counts as a folder of its own name without its extension, so a download need not be unpacked. Every file is
a raw row, whatever its extension; what operating systems leave behind, and masks, thumbnails and texts beside a
image of their name, are counted and ignored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipeline.stages.ingest.rows import Entry, Listing, Reject, free_id
from pipeline.stages.ingest.sources.archives import RawFile, is_archive_name
from pipeline.stages.ingest.sources.files import list_raw
from pipeline.stages.ingest.sources.side_files import left_aside

# Names of folders that say what is in them, but hardly which diagnosis.
GENERIC = re.compile(
    r"(archives?|batch|data(set)?|downloads?|files?|folder|images?|imgs?|jpe?gs?|masks?|originals?|parts?|photos?|"
    r"photographs?|pics?|pictures?|pngs?|raw|resized|set|test|thumb(nail)?s?|train|val(id(ation)?)?)[\W_]*\d*",
    re.IGNORECASE,
)


def read(folder: Path, *, licence: str, attribution: str) -> Listing:
    """List every file with the name of its folder as label.

    Raises:
        UserError: a folder cannot be read.

    """
    raw = list_raw(folder)
    files, side, notes = left_aside(folder, raw.files)
    first: dict[str, RawFile] = {}
    repeats = [file for file in files if first.setdefault(file.name, file) is not file]
    taken = set(first)
    holders = {str(PurePosixPath(file.name).parent) for file in files}
    entries = tuple(
        Entry(
            source_id=file.name,
            locator=file.locator,
            labels=_labels(file.name, holders),
            licence=licence,
            attribution=attribution,
        )
        for file in first.values()
    )
    twice = tuple(
        Reject(free_id(file.name, taken), "repeated_id", "its archive holds the name twice") for file in repeats
    )
    listing = Listing(entries, twice, raw.litter + len(side), (*raw.notes, *notes, *_doubts(entries)))
    return listing.plus(rejects=raw.rejects)


def _labels(name: str, holders: set[str]) -> tuple[str, ...]:
    """Return the folder's name; nothing for a file that lies in no folder.

    Directly in an archive that lies in a folder, an image may be labelled by either. The folder goes first if it
    holds images of its own, or if the archive's name says nothing (`part1.zip`).
    """
    parent = PurePosixPath(name).parent
    if not parent.name:
        return ()
    if not is_archive_name(parent.name):
        return (parent.name,)
    own, outer = _without_suffix(parent.name), parent.parent
    while is_archive_name(outer.name):
        outer = outer.parent
    if not outer.name:
        return (own,)
    return (outer.name, own) if str(outer) in holders or GENERIC.fullmatch(own) else (own, outer.name)


def _without_suffix(name: str) -> str:
    while is_archive_name(name) or name.lower().endswith(".tar"):
        name = PurePosixPath(name).stem
    return name


def _doubts(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Say which labels are hardly diagnoses: `nevus/images/1.jpg` is labelled `images`."""
    counts = Counter(entry.labels[0] for entry in entries if entry.labels)
    doubtful = [f"{label!r} ({count} images)" for label, count in counts.most_common() if GENERIC.fullmatch(label)]
    if not doubtful:
        return ()
    remedy = "the label is the name of the folder that holds an image: is the diagnosis the folder above?"
    return (f"folders named {', '.join(doubtful)} are taken for diagnoses; {remedy}",)
