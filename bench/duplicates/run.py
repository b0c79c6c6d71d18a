"""Runs the finders over the settings; what is finished is kept in the cache and not done again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from bench.duplicates.cache import code_digest, key_of
from bench.duplicates.collection import Collection, expect_whole, fingerprints
from bench.duplicates.finders import FINDERS, OURS, Finder
from bench.duplicates.originals import Verdicts
from bench.duplicates.planting import Truth
from bench.duplicates.prepared import Prepared, embed
from bench.duplicates.profile import Profile
from bench.duplicates.scores import false_pairs, operating_point, score
from bench.duplicates.settings import SIZES, Amounts, build, draw
from bench.environments import UnavailableError

FALSE_LISTED = 50  # pairs that are no copies, kept beside the cache for people to look at


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    folders: of the sources, by name.
    weights: of the encoder; None: without embeddings.
    cache: an ignored folder.
    """

    sizes: Sequence[str]
    designs: Sequence[str]
    finders: Sequence[str]
    folders: dict[str, Path]
    amounts: Amounts
    verdicts: Verdicts
    profile: Profile
    weights: Path | None
    cache: Path


def run(plan: Plan) -> dict[str, Any]:
    """Run all settings.

    Returns:
        settings: by name the numbers of originals and copies, what was taken out, each finder's figures or the reason
        why it has none, and our operating point.

    """
    report: dict[str, Any] = {}
    drawn = {}
    for size in plan.sizes:
        source = SIZES[size].source
        if source not in drawn:
            drawn[source] = draw(
                source, plan.folders, plan.amounts, verdicts=plan.verdicts, profile=plan.profile, cache=plan.cache
            )
            drawn[source].pairs.to_csv(plan.cache / f"real pairs, {source}.csv", index=False)
        for design in plan.designs:
            gathered, truth = build(size, design, drawn[source], plan.amounts, cache=plan.cache)
            report[f"{size} {design}"] = {
                "originals": truth.kinds.count(""),
                "copies": len(truth.kinds) - truth.kinds.count(""),
                "collection": gathered.digest,
                "taken_out": _taken_out(drawn[source].pairs),
                **_compare(plan, gathered, truth, title=f"{size} {design}"),
            }
    return report


def _compare(plan: Plan, gathered: Collection, truth: Truth, *, title: str) -> dict[str, Any]:
    """Run all finders on one collection."""
    prepared = _prepare(plan, gathered, truth)
    figures: dict[str, Any] = {"finders": {}, "unavailable": {}}
    for name in tqdm(plan.finders, desc=title, unit="finder", disable=None):
        finder = FINDERS[name]
        try:
            pairs = ranking(prepared, name, finder)
        except UnavailableError as error:
            figures["unavailable"][name] = str(error)
            continue
        figures["finders"][name] = score(pairs, truth, seed=plan.amounts.seed)
        if name == OURS:
            figures["operating_point"] = operating_point(pairs, truth)
        listed = false_pairs(pairs, gathered, truth, count=FALSE_LISTED)
        listed.to_csv(gathered.root / f"false pairs, {name}.csv", index=False)
    return figures


def _prepare(plan: Plan, gathered: Collection, truth: Truth) -> Prepared:
    prints = fingerprints(gathered, plan.profile)
    expect_whole(gathered, prints)
    vectors = None
    if plan.weights is not None:
        digests, cache = prints.images["stored_sha256"], plan.cache / "vectors"
        vectors = embed(prints.pixels, digests, plan.profile, weights=plan.weights, cache=cache)
    return Prepared(gathered, prints, plan.profile, vectors, len(truth.kinds) - truth.kinds.count(""))


def ranking(prepared: Prepared, name: str, finder: Finder) -> pd.DataFrame:
    """Run a finder, unless the cache holds what the same code found in the same files with the same vectors.

    Raises:
        UnavailableError: it cannot be run.

    """
    if finder.needs_vectors and prepared.vectors is None:
        raise UnavailableError("without --weights there are no vectors")
    encoder = prepared.vectors.encoder if prepared.vectors and finder.uses_vectors else None
    profile = prepared.profile.dedup if finder.uses_profile else None
    key = key_of([name, code_digest(finder.code), encoder, profile])
    path = prepared.collection.root / "rankings" / f"{prepared.collection.digest}-{key}.parquet"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        start = time.monotonic()
        pairs = finder.rank(prepared)
        tqdm.write(f"{name}: {len(pairs):,} pairs in {time.monotonic() - start:.0f} s")
        partial = path.with_suffix(".partial")
        pairs.to_parquet(partial, index=False)
        partial.replace(path)
    return pd.read_parquet(path)


def _taken_out(pairs: pd.DataFrame) -> dict[str, int]:
    """Count the pairs of a pool that were held for the same, by who said so, and those that were left in."""
    by_people, same = pairs["verdict"].notna(), pairs["same"]
    exact = pairs["evidence"].isin(["bytes", "pixels"])
    return {
        "same_by_people": int((same & by_people).sum()),
        "same_by_equal_pixels": int((same & ~by_people & exact).sum()),
        "same_by_our_geometry_unjudged": int((same & ~by_people & ~exact).sum()),
        "left_in_judged_different": int((~same & by_people).sum()),
        "left_in_unjudged": int((~same & ~by_people).sum()),
    }
