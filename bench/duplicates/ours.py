"""Our own finder: what the product would prove, and below that what it would prove with less strict thresholds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.duplicates.collection import Prepared
from pipeline.stages.dedup.features.extract import extract_features
from pipeline.stages.dedup.find import DuplicateSearch, find_duplicates
from pipeline.stages.dedup.groups import keeper_ranks, representatives
from pipeline.stages.dedup.verification.relations import THRESHOLDS
from pipeline.stages.dedup.verification.verify import MEASURED, verify

# What a pair must show to be ranked at all, below everything that the profile's thresholds prove.
RELAXED = replace(
    THRESHOLDS,
    same_lesion_min_correlation=0.15,
    same_lesion_min_inliers=5,
    phash_min_correlation=0.05,
    thumbnail_min_correlation=0.15,
)
TIERS = ("weak", "same_lesion", "copy", "pixels", "bytes")  # the strongest last
CODE = ("pipeline.core", "pipeline.stages.fingerprint", "pipeline.stages.dedup", "bench.duplicates.ours")

Numbers = NDArray[np.int64]


def rank(prepared: Prepared) -> pd.DataFrame:
    """Search a collection.

    Returns:
        a, b (positions, a < b), score (missing where a pair was proposed and not proven), relation (copy, same_lesion;
        weak: proven by relaxed thresholds only; none), proposed_by (sources, joined by +), and, where something is
        proven, what `verify.MEASURED` lists and inliers.

    """
    scratch = prepared.store.scratch((prepared.profile.dedup, prepared.vectors is None), keep="dedup")
    found = search(prepared, scratch=scratch)
    position = {image_id: i for i, image_id in enumerate(prepared.images["image_id"])}
    proven = found.edges.assign(**{end: found.edges[end].map(position) for end in ("a", "b")})

    # One image stands for all with the same pixels, and candidates are counted among those that stand for others.
    apart = np.unique(representatives(prepared.images["pixel_sha256"], keeper_ranks(prepared.images, prepared.flags)))
    proposed = found.candidates.assign(**{end: apart[found.candidates[end]] for end in ("a", "b")})
    left = proposed.merge(proven[["a", "b"]], how="left", indicator=True)["_merge"].to_numpy() == "left_only"
    weak = _relaxed(prepared, found.candidates[left].reset_index(drop=True), apart=apart, scratch=scratch)
    weak = weak.assign(**{end: apart[weak[end]] for end in ("a", "b")}, relation="weak", evidence="geometry")

    pairs = pd.concat([proven, weak, proposed[left]], ignore_index=True).drop_duplicates(["a", "b"])
    pairs = pairs.assign(
        score=evidence_score(pairs),
        relation=pairs["relation"].fillna("none"),
        proposed_by=["+".join(sources) for sources in pairs["proposed_by"]],
    )
    prepared.store.sweep("dedup")
    listed: pd.DataFrame = pairs[["a", "b", "score", "relation", "proposed_by", *MEASURED, "inliers"]]
    return listed


def evidence_score(pairs: pd.DataFrame) -> pd.Series[float]:
    """Score pairs by the strongest kind of evidence, and within a kind by the correlation.

    Args:
        pairs: evidence (bytes, pixels, geometry), relation (copy, same_lesion, weak or missing) and correlation.

    Returns:
        the evidence's place in `TIERS` plus a strength from 0 to 1; missing where nothing is proven.

    """
    kind = pairs["evidence"].where(pairs["evidence"].isin(["bytes", "pixels"]), pairs["relation"])
    strength = pairs["correlation"].clip(0, 1).astype(float)
    return kind.map({name: float(i) for i, name in enumerate(TIERS)}) + strength


def search(prepared: Prepared, *, scratch: Path) -> DuplicateSearch:
    """Find duplicates by the profile's thresholds, as the stage does; what a killed run has finished is kept."""
    return find_duplicates(
        prepared.images,
        prepared.flags,
        pixels=prepared.pixels,
        phash=prepared.phash,
        vectors=prepared.vectors,
        neighbours=prepared.profile.dedup.neighbours,
        lesion_pairs=prepared.profile.dedup.lesion_pairs,
        engine="local",
        scratch=scratch,
    )


def _relaxed(prepared: Prepared, candidates: pd.DataFrame, *, apart: Numbers, scratch: Path) -> pd.DataFrame:
    """Verify candidates, positions in `apart`, by relaxed thresholds; the features lie in scratch already."""
    alone = prepared.pixels.take(apart)
    features = extract_features(alone, engine="local", scratch=scratch)
    below = scratch / "relaxed"
    below.mkdir(exist_ok=True)
    proven, _ = verify(candidates, alone, features, thresholds=RELAXED, engine="local", scratch=below)
    return proven
