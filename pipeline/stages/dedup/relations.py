"""What a pair is, by the thresholds: a copy, another photograph of the same lesion, or nothing that is proven."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pipeline.stages.dedup.agreement import Agreement, agree, overlap
from pipeline.stages.dedup.features import Canonical
from pipeline.stages.dedup.geometry import Alignment
from pipeline.stages.dedup.params import Verify
from pipeline.stages.dedup.whole import Whole

RELATIONS = ("same_lesion", "copy")  # the stronger last

Array = np.ndarray[Any, Any]


class Finding(NamedTuple):
    """What a pair is, how well it agrees, and the features that agree: 0 where it was compared as a whole."""

    relation: str
    seen: Agreement
    inliers: int


def relation(seen: Agreement, params: Verify, *, inliers: int | None, floor: float) -> str | None:
    """Say what a pair is by the thresholds, or None.

    Args:
        seen: how well the two agree.
        params: thresholds of a copy.
        inliers: None if they were compared as a whole.
        floor: least correlation of a pair that shows the same at all.

    """
    if (
        (inliers is None or inliers >= params.copy_min_inliers)
        and seen.correlation >= params.copy_min_correlation
        and seen.overlap >= params.copy_min_overlap
        and seen.deformation <= params.copy_max_deformation
        and not math.isnan(seen.bending)  # too few tiles for a field: in doubt it is another photograph
        and seen.bending <= params.copy_max_bending_pixels
        and not seen.shared_clutter < params.copy_min_shared_clutter
    ):
        return "copy"
    enough = inliers is None or inliers >= params.same_lesion_min_inliers
    return "same_lesion" if enough and seen.correlation >= floor else None


def is_copy(finding: Finding | None) -> bool:
    """Whether nothing stronger can be found."""
    return finding is not None and finding.relation == RELATIONS[-1]


def strongest(*findings: Finding | None) -> Finding | None:
    """Return the best supported of one pair's findings, the first of equals."""
    known = [finding for finding in findings if finding]
    return max(known, key=lambda one: (RELATIONS.index(one.relation), one.seen.correlation), default=None)


def compare(a: Canonical, b: Canonical, alignment: Alignment, *, params: Verify) -> Finding | None:
    """Compare two pictures that local features align."""
    seen = agree(a, b, alignment.matrix)
    name = relation(seen, params, inliers=alignment.inliers, floor=params.same_lesion_min_correlation)
    return Finding(name, seen, alignment.inliers) if name else None


def compare_whole(
    a: Canonical, b: Canonical, whole: Whole, *, floor: float, few: bool, params: Verify
) -> Finding | None:
    """Compare two pictures that all their grey values align.

    Args:
        a: one picture.
        b: the other.
        whole: how they lie on each other.
        floor: least correlation of a pair that shows the same at all.
        few: one of them has too few features for tiles to be expected.
        params: thresholds.

    """
    seen = agree(a, b, whole.matrix)
    if name := relation(seen, params, inliers=None, floor=floor):
        return Finding(name, seen, 0)
    share = overlap(a.grey.shape, b.grey.shape, whole.matrix)
    if few and whole.correlation >= params.smooth_min_correlation and share >= params.copy_min_overlap:
        unmeasured = {"deformation": math.nan, "bending": math.nan, "shared_clutter": math.nan}
        return Finding("copy", Agreement(whole.matrix, share, whole.correlation, **unmeasured), 0)
    return None
