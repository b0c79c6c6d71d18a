"""Class-named folders, as web scrapers leave them: the label is the name of the folder that holds the image.

A zip counts as a folder of its own name without `.zip`, so a download need not be unpacked. Every file is a raw row,
whatever its extension; what operating systems leave behind is counted and ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError
from pipeline.ingest.rows import Entry, Listing, Reject, free_id
from pipeline.ingest.sources.files import RawFile, list_files, list_members, without_litter, zips


def read(folder: Path, *, licence: str, attribution: str) -> Listing:
    """List every file with the name of its folder as label.

    Raises:
        UserError: a folder cannot be read.

    """
    plain = list_files(folder)
    archives = list(zips(plain, folder))
    members, damaged = _members(folder, archives)
    files, litter = without_litter([file for file in plain if file not in set(archives)] + members)
    first: dict[str, RawFile] = {}
    repeats = [file for file in files if first.setdefault(file.name, file) is not file]
    taken = set(first)
    entries = tuple(
        Entry(
            source_id=file.name,
            locator=file.locator,
            labels=_labels(file.name),
            licence=licence,
            attribution=attribution,
        )
        for file in first.values()
    )
    twice = [Reject(free_id(file.name, taken), "repeated_id", "its zip holds the name twice") for file in repeats]
    return Listing(entries, (*twice, *damaged), litter)


def _members(folder: Path, archives: Iterable[RawFile]) -> tuple[list[RawFile], list[Reject]]:
    """List what zips hold; a zip whose directory is damaged is a raw row itself, since nobody knows its members."""
    members: list[RawFile] = []
    damaged: list[Reject] = []
    for archive in archives:
        try:
            members += list_members(folder, archive.locator.file)
        except UserError:
            damaged.append(Reject(archive.name, "undecodable", "a zip whose directory is damaged: fetch it again"))
    return members, damaged


def _labels(name: str) -> tuple[str, ...]:
    """Return the folder's name; nothing for a file that lies in no folder."""
    parent = PurePosixPath(name).parent
    if not parent.name:
        return ()
    return (parent.stem if parent.suffix.lower() == ".zip" else parent.name,)
