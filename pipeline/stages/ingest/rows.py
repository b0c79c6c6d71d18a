"""What readers, labels and packing share: an entry is a raw row that may become an image, a reject never will."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.stages.ingest.tables import Reason


@dataclass(frozen=True, slots=True)
class Locator:
    """Where the bytes of an image lie.

    file: relative to the batch's folder.
    member: position in the archive's directory (names may repeat there); None where `file` is the image itself.
    inner: further positions, where the member is an archive itself.
    """

    file: str
    member: int | None = None
    inner: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One raw row: where its bytes are, and what the source says of it.

    labels: as the source gives them, the most specific first; the first that the taxonomy knows wins.
    raw_label, diagnosis: that one and what it stands for; empty until `labels.diagnose`.
    """

    source_id: str
    locator: Locator
    labels: tuple[str, ...]
    licence: str
    attribution: str
    raw_label: str = ""
    diagnosis: str = ""
    label_evidence: str | None = None
    lesion_id: str | None = None
    patient_id: str | None = None
    age: float | None = None
    sex: str | None = None
    site: str | None = None
    skin_tone: str | None = None
    page: str | None = None
    origin_url: str | None = None
    fetched_at: str | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A raw row that does not become an image."""

    source_id: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A batch's raw rows, each either an entry or a reject.

    ignored_files: how many files are no rows at all: what operating systems leave behind, licence texts, masks.
    notes: what a person should know of how the batch was read, in sentences; they quote labels, but no name of a
    file, which
        may identify a patient.
    """

    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    ignored_files: int
    notes: tuple[str, ...] = ()

    @property
    def raw_rows(self) -> int:
        """Number of raw rows; what `Images` and `Rejects` must add up to."""
        return len(self.entries) + len(self.rejects)

    def plus(self, *, rejects: Iterable[Reject] = (), notes: Iterable[str] = ()) -> Listing:
        """Return a listing with further rejects, whose ids are made free, and notes."""
        taken = {entry.source_id for entry in self.entries} | {reject.source_id for reject in self.rejects}
        freed = (replace(reject, source_id=free_id(reject.source_id, taken)) for reject in rejects)
        return replace(self, rejects=(*self.rejects, *freed), notes=(*self.notes, *notes))


class RejectedError(Exception):
    """An image cannot be accepted; caught by `packing`, which turns it into a row of Rejects."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail


def free_id(name: str, taken: set[str]) -> str:
    """Return `name`, or else `name#2`, `name#3`, …, so that each reject has a key of its own; mark it as taken."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}#{count}"
    taken.add(free)
    return free
