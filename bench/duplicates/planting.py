"""Which copies are planted of which originals, and the collection that follows from it.

Every original has at most one copy: two copies of one original would be a pair that belongs to no kind. The images
that collages and mosaics show beside a copy are in no collection, and each is shown once, for the same reason.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.cache import code_digest, key_of
from bench.duplicates import collection
from bench.duplicates.collection import Collection, File
from bench.duplicates.kinds import ALL, SELFCLEAN_ARTE, TUNING, plant, takes_other
from bench.duplicates.kinds.canvas import jpeg, to_longer_side
from bench.duplicates.originals import Drawn
from bench.parts import CHOICES, REPORT
from pipeline.core.engine import map_shards
from pipeline.core.errors import UserError
from pipeline.core.shards import decode

LARGE = (600, 1024)  # pixels of the longer side that a small image is enlarged to before anything is planted
LARGE_QUALITY = 92
FILES_A_TASK = 64
SEPARATOR = " > "  # between a copy's source id and its kind
CODE = ("bench.duplicates.kinds", "bench.duplicates.planting", "bench.duplicates.collection")


class Size(NamedTuple):
    """Whence the originals are, and whether they are enlarged first."""

    source: str
    large: bool


class Design(NamedTuple):
    """How many copies of which kinds are planted.

    kinds: empty for those of the mode, tuning or all.
    share: copies by original; None: the same number of every kind.
    """

    kinds: tuple[str, ...]
    share: float | None


class Mode(NamedTuple):
    """What a run is for: its kinds, and which of the sources' images it may see, one of `bench.parts`."""

    kinds: tuple[str, ...]
    images: str


SIZES = {
    "ham10000": Size("ham10000", large=False),
    "ham10000-large": Size("ham10000", large=True),
    "dermnet": Size("dermnet", large=False),
}
DESIGNS = {
    "kinds": Design((), None),
    "aug5": Design(("selfclean_aug",), 0.05),
    "aug10": Design(("selfclean_aug",), 0.10),
    "arte5": Design((SELFCLEAN_ARTE,), 0.05),
    "arte10": Design((SELFCLEAN_ARTE,), 0.10),
}
MODES = {"tuning": Mode(TUNING, CHOICES), "all": Mode(ALL, REPORT)}


class Copy(NamedTuple):
    """A copy to plant: numbers of its original and of the image beside it, which only some kinds show."""

    kind: str
    original: int
    other: int | None


class Truth(NamedTuple):
    """Of every file its kind ("" for an original) and the number of its original, an original's own."""

    kinds: list[str]
    originals: NDArray[np.int64]

    @property
    def copies(self) -> int:
        """How many were planted."""
        return len(self.kinds) - self.kinds.count("")


def build(
    size: str, design: str, drawn: Drawn, *, mode: str, per_kind: int, seed: int, cache: Path
) -> tuple[Collection, Truth]:
    """Plant copies among the originals of a source, once: by a key of `SIZES`, of `DESIGNS` and of `MODES`."""
    originals, others, _ = drawn
    copies = plan(
        DESIGNS[design], mode=mode, originals=len(originals), others=len(others), per_kind=per_kind, seed=seed
    )
    names = [[image.label for image in images] for images in (originals, others)]
    root = cache / "collections" / f"{size}-{design}-{key_of([names, copies, size, seed, code_digest(CODE)])}"
    made = files(originals, others, copies, large=SIZES[size].large, seed=seed)
    gathered = collection.write(root, made, count=len(originals) + len(copies), seed=seed)
    return gathered, truth(gathered.labels)


def plan(design: Design, *, mode: str, originals: int, others: int, per_kind: int, seed: int) -> list[Copy]:
    """Draw which of so many originals is copied how, `per_kind` times where there are enough of them.

    Raises:
        UserError: there are too few images for one copy of each kind.

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
    originals: Sequence[File], others: Sequence[File], copies: Sequence[Copy], *, large: bool, seed: int
) -> Iterator[File]:
    """Make the files of a collection: the originals, enlarged to 600 to 1024 pixels if `large`, then their copies."""
    work: list[_Work] = [(image, "", None) for image in originals]
    work += [(originals[c.original], c.kind, None if c.other is None else others[c.other]) for c in copies]
    tasks = [work[i : i + FILES_A_TASK] for i in range(0, len(work), FILES_A_TASK)]
    for made in map_shards(partial(_make, large=large, seed=seed), tasks, label="plant"):
        yield from made


def truth(labels: Sequence[str]) -> Truth:
    """Read the truth from a collection's labels."""
    parts = [label.partition(SEPARATOR) for label in labels]
    number = {source_id: i for i, (source_id, _, kind) in enumerate(parts) if not kind}
    return Truth([kind for _, _, kind in parts], np.array([number[source_id] for source_id, _, _ in parts]))


_Work = tuple[File, str, File | None]  # an original, the kind of its copy ("": itself), what is shown beside


def _make(work: Sequence[_Work], *, large: bool, seed: int) -> list[File]:
    made = []
    for (name, content), kind, other in work:
        label = f"{name}{SEPARATOR}{kind}" if kind else name
        file = _enlarged(content, _rng(seed, name)) if large else content
        made.append(
            File(label, plant(kind, file, _rng(seed, label), other=other.content if other else None) if kind else file)
        )
    return made


def _enlarged(content: bytes, rng: np.random.Generator) -> bytes:
    return jpeg(to_longer_side(decode(content), int(rng.integers(LARGE[0], LARGE[1] + 1))), LARGE_QUALITY)


def _rng(seed: int, label: str) -> np.random.Generator:
    """Seed by the label, so that a copy stays the same whatever else is planted."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(label.encode()).digest()[:8])])
