"""The rule that proves a pair: a copy, another photograph of the same lesion, or nothing.

    copy:         inliers, correlation and overlap are at least, residual and bending at most their thresholds,
                  and shared occlusions, where both images have some, at least theirs
    same lesion:  inliers and correlation are at least their thresholds

What was not measured proves no copy: a pair in doubt is kept as two photographs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.stages.dedup.features.preprocess import PreprocessedImage
from pipeline.stages.dedup.verification.direct_alignment import DirectAlignment
from pipeline.stages.dedup.verification.ransac import Alignment
from pipeline.stages.dedup.verification.registration import Registration, overlap, register

RELATIONS = ("same_lesion", "copy")  # the stronger last


@dataclass(frozen=True)
class Thresholds:
    """What a pair must show; all were set by the calibration of bench.duplicates on HAM10000 and DermNet.

    copy_max_residual: of `Registration.residual`; a copy has none.
    copy_max_bending_pixels: of the working size, by which a smooth field displaces a part; a copy is bent by none.
    copy_min_shared_occlusions: how far hairs lie on each other where both have some: 1 wholly, 0 as by chance.
    phash_min_correlation: of two images aligned directly, whose hashes are near.
    thumbnail_min_correlation: of two images aligned directly, whose thumbnails are near.
    smooth_min_correlation: of two images with too few keypoints to match.
    """

    copy_min_correlation: float = 0.7
    copy_min_inliers: int = 12
    copy_min_overlap: float = 0.3
    copy_max_residual: float = 5.5
    copy_max_bending_pixels: float = 0.09
    copy_min_shared_occlusions: float = 0.4
    phash_min_correlation: float = 0.2
    thumbnail_min_correlation: float = 0.6
    smooth_min_correlation: float = 0.98
    same_lesion_min_correlation: float = 0.35
    same_lesion_min_inliers: int = 6


THRESHOLDS = Thresholds()


class Edge(NamedTuple):
    """What a pair is, how well it is registered, and the keypoints that agree: 0 where it was aligned directly."""

    relation: str
    registration: Registration
    inliers: int


def relation(
    registration: Registration, thresholds: Thresholds, *, inliers: int | None, same_lesion_floor: float | None
) -> str | None:
    """Say what a pair is by the thresholds, or None.

    Args:
        registration: how well the two agree.
        thresholds: of a copy.
        inliers: None if they were aligned directly.
        same_lesion_floor: least correlation of a pair that shows one lesion; None: this comparison proves copies only.

    """
    if math.isnan(registration.correlation):
        return None
    if _is_copy(registration, thresholds) and (inliers is None or inliers >= thresholds.copy_min_inliers):
        return "copy"
    enough = inliers is None or inliers >= thresholds.same_lesion_min_inliers
    agrees = same_lesion_floor is not None and registration.correlation >= same_lesion_floor
    return "same_lesion" if enough and agrees else None


def _is_copy(registration: Registration, thresholds: Thresholds) -> bool:
    _, overlapping, correlation, residual, bending, shared = registration
    if any(math.isnan(measured) for measured in (overlapping, correlation, residual, bending)):
        return False  # too few tiles: in doubt it is another photograph
    if not math.isnan(shared) and shared < thresholds.copy_min_shared_occlusions:
        return False  # where either has few occlusions they say nothing, for or against
    return (
        correlation >= thresholds.copy_min_correlation
        and overlapping >= thresholds.copy_min_overlap
        and residual <= thresholds.copy_max_residual
        and bending <= thresholds.copy_max_bending_pixels
    )


def is_copy(edge: Edge | None) -> bool:
    """Whether nothing stronger can be proven."""
    return edge is not None and edge.relation == RELATIONS[-1]


def strongest(*edges: Edge | None) -> Edge | None:
    """Return the best supported of one pair's edges, the first of equals; None if there is none."""
    known = [edge for edge in edges if edge]
    return max(known, key=lambda one: (RELATIONS.index(one.relation), one.registration.correlation), default=None)


def compare_by_keypoints(
    a: PreprocessedImage, b: PreprocessedImage, alignment: Alignment, *, thresholds: Thresholds
) -> Edge | None:
    """Compare two images that keypoints align."""
    registration = register(a, b, alignment.matrix)
    floor = thresholds.same_lesion_min_correlation
    name = relation(registration, thresholds, inliers=alignment.inliers, same_lesion_floor=floor)
    return Edge(name, registration, alignment.inliers) if name else None


def compare_directly(
    a: PreprocessedImage,
    b: PreprocessedImage,
    alignment: DirectAlignment,
    *,
    same_lesion_floor: float | None,
    few_keypoints: bool,
    thresholds: Thresholds,
) -> Edge | None:
    """Compare two images that all their grey values align.

    Args:
        a: one image.
        b: the other.
        alignment: how they lie on each other.
        same_lesion_floor: as for `relation`.
        few_keypoints: one of them has too few for tiles to be expected; then nearly equal grey values prove a copy.
        thresholds: of both relations.

    """
    registration = register(a, b, alignment.matrix)
    if name := relation(registration, thresholds, inliers=None, same_lesion_floor=same_lesion_floor):
        return Edge(name, registration, 0)
    share = overlap(a.grey.shape, b.grey.shape, alignment.matrix)
    all_but_equal = alignment.correlation >= thresholds.smooth_min_correlation and share >= thresholds.copy_min_overlap
    if few_keypoints and all_but_equal:
        unmeasured = {"residual": math.nan, "bending": math.nan, "shared_occlusions": math.nan}
        return Edge("copy", Registration(alignment.matrix, share, alignment.correlation, **unmeasured), 0)
    return None
