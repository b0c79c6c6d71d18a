"""Which copies are planted of which originals, and the files of a collection that follow from it.

Every original has at most one copy: two copies of one original would be a pair that belongs to no kind. The pictures
that collages and mosaics show beside a copy are in no collection, and each is shown once, for the same reason.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bench.duplicates.collection import File
from bench.duplicates.kinds import ALL, SELFCLEAN_ARTE, TUNING, plant, takes_other
from bench.duplicates.kinds.canvas import jpeg, to_longer_side
from bench.duplicates.sources import Picture
from pipeline.core.engine import map_shards
from pipeline.core.errors import UserError
from pipeline.core.shards import decode

LARGE = (600, 1024)  # pixels of the longer side that a small picture is enlarged to before anything is planted
LARGE_QUALITY = 92
FILES_A_TASK = 64
SEPARATOR = " > "  # between a copy's source id and its kind

Array = np.ndarray[Any, Any]


class Design(NamedTuple):
    """How many copies of which kinds are planted.

    kinds: empty for those of the mode, tuning or all.
    share: copies by original; None: the same number of every kind.
    """

    kinds: tuple[str, ...]
    share: float | None


DESIGNS = {
    "kinds": Design((), None),
    "aug5": Design(("selfclean_aug",), 0.05),
    "aug10": Design(("selfclean_aug",), 0.10),
    "arte5": Design((SELFCLEAN_ARTE,), 0.05),
    "arte10": Design((SELFCLEAN_ARTE,), 0.10),
}


class Mode(NamedTuple):
    """What a run is for: its kinds, and which of the sources' pictures it may see, one of `sources.PARTS`."""

    kinds: tuple[str, ...]
    pictures: str


MODES = {"tuning": Mode(TUNING, "tuning"), "all": Mode(ALL, "report")}


class Copy(NamedTuple):
    """A copy to plant: numbers of its original and of the picture beside it, which only some kinds show."""

    kind: str
    original: int
    other: int | None


class Truth(NamedTuple):
    """Of every file its kind ("" for an original) and the number of its original, an original's own."""

    kinds: list[str]
    originals: Array


def plan(design: Design, *, mode: str, originals: int, others: int, per_kind: int, seed: int) -> list[Copy]:
    """Draw which original is copied how.

    Args:
        design: one of `DESIGNS`.
        mode: `tuning` leaves out the kinds that are set aside, `all` plants them.
        originals: how many there are.
        others: how many pictures there are to lay beside copies.
        per_kind: copies of every kind; fewer where there are too few originals.
        seed: of the draw.

    Raises:
        UserError: there are too few pictures for one copy of each kind.

    """
    kinds = design.kinds or MODES[mode].kinds
    beside = sum(map(takes_other, kinds))
    count = per_kind if design.share is None else math.ceil(design.share * originals)
    count = min(count, originals // len(kinds), others // beside if beside else count)
    if count < 1:
        raise UserError(f"{originals} originals and {others} others are too few for {len(kinds)} kinds: ask for more")
    rng = np.random.default_rng([seed, 2])
    chosen, shown = iter(rng.permutation(originals).tolist()), iter(rng.permutation(others).tolist())
    return [
        Copy(kind, next(chosen), next(shown) if takes_other(kind) else None) for kind in kinds for _ in range(count)
    ]


def files(
    originals: Sequence[Picture], others: Sequence[Picture], copies: Sequence[Copy], *, large: bool, seed: int
) -> Iterator[File]:
    """Make the files of a collection: the originals, then their copies.

    Args:
        originals: as published.
        others: pictures to lay beside copies.
        copies: from `plan`.
        large: enlarge the originals to 600 to 1024 pixels first.
        seed: of what the kinds draw.

    """
    work = [_Work(picture, "", None) for picture in originals]
    work += [_Work(originals[c.original], c.kind, None if c.other is None else others[c.other]) for c in copies]
    tasks = [work[i : i + FILES_A_TASK] for i in range(0, len(work), FILES_A_TASK)]
    for made in map_shards(partial(_make, large=large, seed=seed), tasks, label="plant"):
        yield from made


def truth(labels: Sequence[str]) -> Truth:
    """Read the truth from a collection's labels."""
    parts = [label.partition(SEPARATOR) for label in labels]
    number = {source_id: i for i, (source_id, _, kind) in enumerate(parts) if not kind}
    return Truth([kind for _, _, kind in parts], np.array([number[source_id] for source_id, _, _ in parts]))


class _Work(NamedTuple):
    picture: Picture
    kind: str
    other: Picture | None


def _make(work: Sequence[_Work], *, large: bool, seed: int) -> list[File]:
    made = []
    for picture, kind, other in work:
        name = picture.source_id
        content = _enlarged(picture.content, _rng(seed, name)) if large else picture.content
        if kind:
            name = f"{name}{SEPARATOR}{kind}"
            content = plant(kind, content, _rng(seed, name), other=other.content if other else None)
        made.append(File(name, content))
    return made


def _enlarged(content: bytes, rng: np.random.Generator) -> bytes:
    return jpeg(to_longer_side(decode(content), int(rng.integers(LARGE[0], LARGE[1] + 1))), LARGE_QUALITY)


def _rng(seed: int, label: str) -> np.random.Generator:
    """Seed by the label, so that a copy stays the same whatever else is planted."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(label.encode()).digest()[:8])])
