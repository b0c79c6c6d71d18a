"""Prove a candidate pair, or drop it: geometry must map one picture to the other, and what overlaps must agree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.core.shards import Pixels
from pipeline.dedup.close_up import Side, compare_closely
from pipeline.dedup.features import Canonical, Features, canonical, extract
from pipeline.dedup.geometry import align, plausible
from pipeline.dedup.params import Verify
from pipeline.dedup.relations import Finding, compare, compare_whole, is_copy, strongest
from pipeline.dedup.whole import align_whole, most_alike, small, thumbnails

IMAGES_A_TASK = 64
PAIRS_A_TASK = 250
FEW_FEATURES = 40  # with less, the pictures are compared as a whole, too, and may have no tile to compare
CACHED = 64  # decoded pictures a worker keeps: pairs come sorted, so one side repeats

Array = np.ndarray[Any, Any]
WHOLE_MIN_DETAIL = 0.4  # correlation of small squares; with less, tiles hardly ever agree
MEASURED = ("overlap", "correlation", "deformation", "shared_clutter")  # of Agreement, and columns of Duplicates


class Pairs(NamedTuple):
    """One task: pairs of places in the rest, which holds each picture's number in the whole, and its pixels.

    whole: (pairs,) the least correlation of one more comparison, as a whole; infinite: none.
    """

    pairs: Array
    whole: Array
    numbers: Array
    pixels: Pixels


def extract_features(pixels: Pixels, *, params: Verify, engine: Engine, scratch: Path) -> SharedArrays:
    """Extract every picture's features, once.

    Returns:
        points, descriptors (features of all pictures, one picture below the other), owners (the picture's number), and
        of each picture sizes (working width and height) and squares (see `whole.small`).

    """
    tasks = list(zip(range(0, len(pixels), IMAGES_A_TASK), pixels.pieces(IMAGES_A_TASK), strict=True))
    parts = map_shards(partial(_features, params=params), tasks, label="features", engine=engine, scratch=scratch)
    return SharedArrays.write(scratch, parts)


def verify(
    candidates: pd.DataFrame,
    pixels: Pixels,
    features: SharedArrays,
    *,
    params: Verify,
    engine: Engine,
    scratch: Path,
) -> tuple[pd.DataFrame, Array]:
    """Look at every candidate pair.

    Args:
        candidates: a, b (positions into pixels, a < b), proposed_by, and what else is known; sorted.
        pixels: of all pictures.
        features: of all pictures.
        params: thresholds.
        engine: where the work is done.
        scratch: for finished work.

    Returns:
        the candidates that hold, with relation, what MEASURED lists, inliers; their transforms (n, 9).

    """
    columns = ["row", "relation", *MEASURED, "inliers"]
    floors = {"phash": params.near_min_correlation, "thumbnail": params.whole_min_correlation}
    whole = np.array([min(floors.get(s, np.inf) for s in sources) for sources in candidates["proposed_by"]])
    tasks = list(_tasks(candidates[["a", "b"]].to_numpy(), whole, pixels))
    check = partial(_verify_pairs, features=features, params=params)
    parts = list(map_shards(check, tasks, label="verify", engine=engine, scratch=scratch))
    offsets = np.cumsum([0, *(len(task.pairs) for task in tasks)])
    rows = [(offset + row, *rest) for offset, part in zip(offsets, parts, strict=False) for row, *rest in part]
    found = pd.DataFrame([row[:-1] for row in rows], columns=columns).astype({"row": "int64", "inliers": "int64"})
    transforms = np.array([row[-1] for row in rows], dtype=np.float32).reshape(-1, 9)
    proven = candidates.iloc[found.pop("row")].reset_index(drop=True)
    return pd.concat([proven, found], axis=1), transforms


def _tasks(pairs: Array, whole: Array, pixels: Pixels) -> Iterator[Pairs]:
    for start in range(0, len(pairs), PAIRS_A_TASK):
        stop = start + PAIRS_A_TASK
        numbers, places = np.unique(pairs[start:stop], return_inverse=True)
        yield Pairs(places.reshape(-1, 2), whole[start:stop], numbers, pixels.take(numbers))


def _features(task: tuple[int, Pixels], *, params: Verify) -> dict[str, Array]:
    cv2.setNumThreads(1)  # tasks run beside each other
    start, pixels = task
    pictures = (canonical(pixels[i], side_pixels=params.side_pixels) for i in range(len(pixels)))
    found = [(p.grey.shape[::-1], small(p), extract(p, max_features=params.max_features)) for p in pictures]
    sizes, squares, features = zip(*found, strict=True)
    return {
        "points": np.concatenate([f.points for f in features]),
        "descriptors": np.concatenate([f.descriptors for f in features]),
        "owners": np.repeat(np.arange(start, start + len(found)), [len(f.points) for f in features]),
        "sizes": np.array(sizes, dtype=np.int64),
        "squares": np.stack(squares),
    }


def _verify_pairs(task: Pairs, *, features: SharedArrays, params: Verify) -> list[tuple[Any, ...]]:
    """Verify one task's pairs; of those that hold, the pair's place in the task, its finding and the transform."""
    cv2.setNumThreads(1)  # tasks run beside each other

    @lru_cache(maxsize=CACHED)
    def picture(place: int) -> Canonical:
        return canonical(task.pixels[place], side_pixels=params.side_pixels)

    limits = np.searchsorted(features["owners"], np.stack([task.numbers, task.numbers + 1], axis=1))
    own = [Features(features["points"][i:j], features["descriptors"][i:j]) for i, j in limits]
    sizes, squares = features["sizes"][task.numbers], features["squares"][task.numbers]
    tiny = thumbnails(squares)

    def by_features(a: int, b: int) -> Finding | None:
        alignment = align(own[a], own[b], b_width=sizes[b, 0], min_inliers=params.same_lesion_min_inliers)
        if alignment is None:
            return None
        finding = compare(picture(a), picture(b), alignment, params=params)
        if is_copy(finding):
            return finding
        one, other = (Side(picture(i), own[i], partial(task.pixels.__getitem__, i)) for i in (a, b))
        matrix = finding.seen.matrix if finding else alignment.matrix
        return strongest(finding, compare_closely(one, other, matrix, params=params))

    def by_whole(a: int, b: int, *, floor: float, few: bool) -> Finding | None:
        shapes = (tuple(sizes[a, ::-1].tolist()), tuple(sizes[b, ::-1].tolist()))
        whole = align_whole(squares[a], squares[b], orientation=most_alike(tiny[a], tiny[b]), shapes=shapes)
        if whole is None or whole.detail < WHOLE_MIN_DETAIL or not plausible(whole.matrix):
            return None
        return compare_whole(picture(a), picture(b), whole, floor=floor, few=few, params=params)

    found = []
    with threadpool_limits(1):
        for row, (a, b) in enumerate(task.pairs):
            finding = by_features(a, b)
            few = min(len(own[a].points), len(own[b].points)) < FEW_FEATURES
            if (few or np.isfinite(task.whole[row])) and not is_copy(finding):
                finding = strongest(finding, by_whole(a, b, floor=float(task.whole[row]), few=few))
            if finding:
                name, seen, inliers = finding
                matrix = np.linalg.inv(picture(b).to_working) @ seen.matrix @ picture(a).to_working
                measured = (float(getattr(seen, column)) for column in MEASURED)
                found.append((row, name, *measured, inliers, (matrix / matrix[2, 2]).ravel()))
    return found
