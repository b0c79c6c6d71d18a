"""Makes the truth clean: of pictures that are really copies of each other, one stays.

A real copy among the originals would count as somebody's false pair. Which pairs those are, people say (`--judged`): a
pair that shows the same (a photograph, a lesion, a patch of skin with its neighbour), or may, loses its second picture;
one that they call different stays, and counts against whoever lists it. Where nobody has judged, equal bytes and equal
pixels decide, and what our own finder proves by geometry. The latter favours it: what it proves wrongly is taken away
with what it proves rightly. So these pairs are listed and counted in the result, to be judged.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.duplicates import collection
from bench.duplicates.cache import code_digest, key_of
from bench.duplicates.collection import File, fingerprints
from bench.duplicates.finders import ours
from bench.duplicates.profile import Profile
from bench.duplicates.sources import Picture
from pipeline.core.errors import UserError
from pipeline.core.grouping import components

SAME, DIFFERENT = ("same", "copy", "same_lesion", "neighbours", "unsure"), ("different",)
COLUMNS = ("a", "b", "relation", "evidence", "correlation", "inliers")

Verdicts = Mapping[frozenset[str], str]


class Distinct(NamedTuple):
    """Pictures without real copies among them.

    pictures: in the order of the pool.
    pairs: what was found among the pool: COLUMNS, verdict (missing where nobody has judged) and whether it was held for
        the same.
    """

    pictures: list[Picture]
    pairs: pd.DataFrame


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
    pool: Sequence[Picture], *, same: tuple[str, ...], verdicts: Verdicts, profile: Profile, cache: Path, seed: int
) -> Distinct:
    """Leave one of each set of pictures that are copies of each other, or of others in between.

    Args:
        pool: candidates for originals.
        same: relations that count as the same where nobody has judged.
        verdicts: of people.
        profile: of our own finder.
        cache: for what was found.
        seed: of the files' names.

    """
    pairs = _found(pool, profile, cache, seed)
    ends_of = [frozenset(ends) for ends in zip(pairs["a"], pairs["b"], strict=True)]
    judged = pairs.assign(verdict=pd.Series([verdicts.get(ends) for ends in ends_of], dtype=object))
    unjudged = judged["verdict"].isna() & judged["relation"].isin(same)
    judged["same"] = judged["verdict"].isin(SAME) | unjudged
    known = {picture.source_id for picture in pool}
    bonds = list(zip(judged.loc[judged["same"], "a"], judged.loc[judged["same"], "b"], strict=True))
    bonds += [(min(ends), max(ends)) for ends, verdict in verdicts.items() if verdict in SAME and ends <= known]
    return Distinct(_one_of_each(pool, bonds), judged)


def _found(pool: Sequence[Picture], profile: Profile, cache: Path, seed: int) -> pd.DataFrame:
    """Search the pool for copies with our own finder; once."""
    names = [picture.source_id for picture in pool]
    root = cache / "pools" / key_of([names, seed, profile.limits, profile.fingerprint])
    files = [File(*picture) for picture in pool]
    gathered = collection.write(root, files, count=len(files), seed=seed)
    result = root / f"pairs-{key_of([profile.dedup, code_digest(ours.CODE)])}.csv"
    if not result.exists():
        prints = fingerprints(gathered, profile)
        edges = ours.search(prints, None, profile, scratch=prints.store.scratch(profile.dedup, keep="dedup")).edges
        label = dict(zip(gathered.names, gathered.labels, strict=True))
        ends = {end: edges[end].str.removeprefix(f"{collection.BATCH}:").map(label) for end in ("a", "b")}
        edges.assign(**ends)[list(COLUMNS)].to_csv(result, index=False, float_format="%.4g")
        prints.store.sweep("dedup")
    return pd.read_csv(result, dtype={"a": str, "b": str, "relation": str, "evidence": str})


def _one_of_each(pool: Sequence[Picture], bonds: Iterable[tuple[str, str]]) -> list[Picture]:
    """Keep the first picture of each set that bonds join, directly or by others.

    Bonds are not complete: of two pictures with equal pixels only one may be bound to a third.
    """
    sets = components([picture.source_id for picture in pool], bonds)
    first: dict[str, Picture] = {}
    for picture, name in zip(pool, sets, strict=True):
        first.setdefault(name, picture)
    return list(first.values())
