"""Originals: distinct lesions of HAM10000, and the images of a clinical scrape, without real copies among them.

A third of each source's images is for tuning and the rest for reports, so no figure that is reported was made of an
image that any threshold was chosen on. An image's name alone says which it is for.

A real copy among the originals would count as somebody's false pair. Which pairs those are, people say (`--judged`): a
pair that shows the same (a photograph, a lesion, a patch of skin with its neighbour), or may, loses its second image;
one that they call different stays, and counts against whoever lists it. Where nobody has judged, equal bytes and equal
pixels decide, and what our own finder proves by geometry. The latter favours it: what it proves wrongly is taken away
with what it proves rightly. So these pairs are listed and counted in the result, to be judged.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from bench.cache import code_digest, key_of
from bench.duplicates import collection, ours
from bench.duplicates.collection import File, prepare
from bench.duplicates.profile import Profile
from bench.parts import part_of
from pipeline.core.errors import UserError
from pipeline.core.grouping import components
from pipeline.stages.ingest.rows import Entry
from pipeline.stages.ingest.sources import folder as class_folders
from pipeline.stages.ingest.sources import ham10000
from pipeline.stages.ingest.sources.files import RawReader

MAX_BYTES = 200_000_000
UNSAID = "unsaid"  # licence and attribution: nothing here leaves the machine
SAME, DIFFERENT = ("same", "copy", "same_lesion", "neighbours", "unsure"), ("different",)
COLUMNS = ("a", "b", "relation", "evidence", "correlation", "inliers")
OTHERS_SHARE = 0.1  # of the originals: images that are laid beside copies
SPARE_SHARE = 0.06  # of a pool, drawn too, since real copies are taken out

Verdicts = Mapping[frozenset[str], str]


class Source(NamedTuple):
    """A data set.

    entries: lists its candidates for originals.
    same: relations between two originals that make them one image, where nobody has judged the pair. HAM10000 names
        lesions, so only copies do; a scrape names none, so another photograph of the same lesion does too.
    """

    entries: Callable[[Path], list[Entry]]
    same: tuple[str, ...]


class Drawn(NamedTuple):
    """Originals of a source, images to lay beside copies, and the pairs that were found among all of them before."""

    originals: list[File]
    others: list[File]
    pairs: pd.DataFrame


def draw(
    source: str, folder: Path, *, part: str, count: int, verdicts: Verdicts, profile: Profile, cache: Path, seed: int
) -> Drawn:
    """Draw `count` originals, and the others, from a part of a source, without real copies among them."""
    wanted = count + math.ceil(OTHERS_SHARE * count)
    pool = read_images(source, folder, part=part, count=math.ceil(wanted * (1 + SPARE_SHARE)), seed=seed)
    apart, pairs = distinct(
        pool, same=SOURCES[source].same, verdicts=verdicts, profile=profile, cache=cache / "pools", seed=seed
    )
    kept = min(count, math.floor(len(apart) / (1 + OTHERS_SHARE)))
    return Drawn(apart[:kept], apart[kept:], pairs)


def read_images(source: str, folder: Path, *, part: str, count: int, seed: int) -> list[File]:
    """Draw at most `count` images of a part at random, as published.

    Raises:
        UserError: the folder holds something else.

    """
    entries = [entry for entry in SOURCES[source].entries(folder) if part_of(entry.source_id) == part]
    if not entries:
        raise UserError(f"{folder} holds no images for {part}: name the folder of {source}")
    order = np.random.default_rng([seed, 0]).permutation(len(entries))[:count]
    with RawReader(folder, max_bytes=MAX_BYTES) as reader:
        chosen = tqdm([entries[i] for i in order], desc=f"read {source}", disable=None)
        return [File(entry.source_id, reader.read(entry.locator)) for entry in chosen]


def read_verdicts(paths: Iterable[Path]) -> dict[frozenset[str], str]:
    """Read csv files with the columns a, b (source ids, with or without a batch's name) and verdict.

    Raises:
        UserError: a column is missing, or a verdict is none of `SAME` and `DIFFERENT`.

    """
    verdicts = {}
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("verdict") not in (*SAME, *DIFFERENT) or not row.get("a") or not row.get("b"):
                    raise UserError(
                        f"{path} needs the columns a, b and verdict ({', '.join((*SAME, *DIFFERENT))}): {row}"
                    )
                verdicts[frozenset(name.rpartition(":")[2] for name in (row["a"], row["b"]))] = row["verdict"]
    return verdicts


def distinct(
    pool: Sequence[File], *, same: tuple[str, ...], verdicts: Verdicts, profile: Profile, cache: Path, seed: int
) -> tuple[list[File], pd.DataFrame]:
    """Leave one of each set of images that are copies of each other, or of others in between.

    Relations `same` count as the same where nobody has judged. Bonds are not complete: of two images with equal pixels
    only one may be bound to a third.

    Returns:
        the images, in the order of the pool; and what was found among it: COLUMNS, verdict (missing where nobody has
        judged) and whether it was held for the same.

    """
    pairs = _search(pool, profile, cache, seed)
    ends_of = [frozenset(ends) for ends in zip(pairs["a"], pairs["b"], strict=True)]
    judged = pairs.assign(verdict=pd.Series([verdicts.get(ends) for ends in ends_of], dtype=object))
    unjudged = judged["verdict"].isna() & judged["relation"].isin(same)
    judged["same"] = judged["verdict"].isin(SAME) | unjudged
    names = [image.label for image in pool]
    known = set(names)
    bonds = list(zip(judged.loc[judged["same"], "a"], judged.loc[judged["same"], "b"], strict=True))
    bonds += [(min(ends), max(ends)) for ends, verdict in verdicts.items() if verdict in SAME and ends <= known]
    first: dict[str, File] = {}
    for image, name in zip(pool, components(names, bonds), strict=True):
        first.setdefault(name, image)
    return list(first.values()), judged


def _search(pool: Sequence[File], profile: Profile, cache: Path, seed: int) -> pd.DataFrame:
    """Search the pool for copies with our own finder; once."""
    root = cache / key_of([[image.label for image in pool], seed, profile.limits, profile.fingerprint])
    gathered = collection.write(root, pool, count=len(pool), seed=seed)
    result = root / f"pairs-{key_of([profile.dedup, code_digest(ours.CODE)])}.csv"
    if not result.exists():
        prepared = prepare(gathered, profile)
        edges = ours.search(prepared, scratch=prepared.store.scratch(profile.dedup, keep="dedup")).edges
        label = dict(zip(gathered.names, gathered.labels, strict=True))
        ends = {end: edges[end].str.removeprefix(f"{collection.BATCH}:").map(label) for end in ("a", "b")}
        edges.assign(**ends)[list(COLUMNS)].to_csv(result, index=False, float_format="%.4g")
        prepared.store.sweep("dedup")
    return pd.read_csv(result, dtype={"a": str, "b": str, "relation": str, "evidence": str})


def _one_a_lesion(folder: Path) -> list[Entry]:
    """List the first image of every lesion, by image id."""
    listed = ham10000.read(folder, licence=UNSAID, attribution=UNSAID).entries
    first: dict[str, Entry] = {}
    for entry in sorted(listed, key=lambda entry: entry.source_id):
        first.setdefault(entry.lesion_id or entry.source_id, entry)
    return list(first.values())


def _every_file(folder: Path) -> list[Entry]:
    listed = class_folders.read(folder, licence=UNSAID, attribution=UNSAID).entries
    return sorted(listed, key=lambda entry: entry.source_id)


SOURCES = {
    "ham10000": Source(_one_a_lesion, ("copy",)),
    "dermnet": Source(_every_file, ("copy", "same_lesion")),
}
