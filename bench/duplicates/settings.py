"""A setting is a collection of originals at some size, and a design of what is planted among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.duplicates import collection
from bench.duplicates.cache import code_digest, key_of
from bench.duplicates.collection import Collection
from bench.duplicates.originals import Verdicts, distinct
from bench.duplicates.planting import DESIGNS, MODES, Truth, files, plan, truth
from bench.duplicates.profile import Profile
from bench.duplicates.sources import SOURCES, Picture, read_pictures
from pipeline.core.errors import UserError

OTHERS_SHARE = 0.1  # of the originals: pictures that are laid beside copies
SPARE_SHARE = 0.06  # of a pool, drawn too, since real copies are taken out
CODE = ("bench.duplicates.kinds", "bench.duplicates.planting", "bench.duplicates.collection")


class Size(NamedTuple):
    """Whence the originals are, and whether they are enlarged first."""

    source: str
    large: bool


SIZES = {
    "ham10000": Size("ham10000", large=False),
    "ham10000-large": Size("ham10000", large=True),
    "dermnet": Size("dermnet", large=False),
}


@dataclass(frozen=True)
class Amounts:
    """How much is planted, and from which seed; `mode`, a key of `MODES`, says of which kinds and pictures."""

    originals: int
    per_kind: int
    mode: str
    seed: int


class Drawn(NamedTuple):
    """Originals of a source, pictures to lay beside copies, and the pairs that were found among all of them before."""

    originals: list[Picture]
    others: list[Picture]
    pairs: pd.DataFrame


def draw(
    source: str, folders: Mapping[str, Path], amounts: Amounts, *, verdicts: Verdicts, profile: Profile, cache: Path
) -> Drawn:
    """Draw originals, and the others, from a source, without real copies among them.

    Raises:
        UserError: the source has no folder.

    """
    if source not in folders:
        raise UserError(f"say with --{source} FOLDER where it lies, or leave its collections out of --collections")
    wanted = amounts.originals + math.ceil(OTHERS_SHARE * amounts.originals)
    drawn = math.ceil(wanted * (1 + SPARE_SHARE))
    part = MODES[amounts.mode].pictures
    pool = read_pictures(source, folders[source], part=part, count=drawn, seed=amounts.seed)
    same = SOURCES[source].same
    apart = distinct(pool, same=same, verdicts=verdicts, profile=profile, cache=cache, seed=amounts.seed)
    count = min(amounts.originals, math.floor(len(apart.pictures) / (1 + OTHERS_SHARE)))
    return Drawn(apart.pictures[:count], apart.pictures[count:], apart.pairs)


def build(size: str, design: str, drawn: Drawn, amounts: Amounts, *, cache: Path) -> tuple[Collection, Truth]:
    """Plant the copies of a setting among its originals; once.

    Args:
        size: a key of `SIZES`.
        design: a key of `DESIGNS`.
        drawn: from `draw`, of the size's source.
        amounts: how much.
        cache: where collections lie.

    """
    copies = plan(
        DESIGNS[design],
        mode=amounts.mode,
        originals=len(drawn.originals),
        others=len(drawn.others),
        per_kind=amounts.per_kind,
        seed=amounts.seed,
    )
    names = [[picture.source_id for picture in pictures] for pictures in (drawn.originals, drawn.others)]
    root = cache / "collections" / f"{size}-{design}-{key_of([names, copies, size, amounts.seed, code_digest(CODE)])}"
    made = files(drawn.originals, drawn.others, copies, large=SIZES[size].large, seed=amounts.seed)
    gathered = collection.write(root, made, count=len(drawn.originals) + len(copies), seed=amounts.seed)
    return gathered, truth(gathered.labels)
