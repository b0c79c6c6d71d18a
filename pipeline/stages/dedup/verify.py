"""Prove a candidate pair, or drop it: geometry must map one picture to the other, and what overlaps must agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.core.shards import Pixels
from pipeline.stages.dedup.agreement import covered
from pipeline.stages.dedup.close_up import Side, compare_closely
from pipeline.stages.dedup.features import Canonical, Features, canonical, extract, views
from pipeline.stages.dedup.geometry import align, plausible
from pipeline.stages.dedup.params import Verify
from pipeline.stages.dedup.relations import Finding, compare, compare_whole, is_copy, strongest
from pipeline.stages.dedup.whole import align_whole, most_alike, small, thumbnails

IMAGES_A_TASK = 64
PAIRS_A_TASK = 250
FEW_FEATURES = 40  # with less, the pictures are compared as a whole, too, and may have no tile to compare
CACHED = 64  # decoded pictures a worker keeps: pairs come sorted, so one side repeats

Array = np.ndarray[Any, Any]
PART_MIN_SHOWN = 0.5  # of a picture, on a part of a sheet that proves it: what sheets share beside pictures shows less
WHOLE_MIN_DETAIL = 0.4  # correlation of small squares; with less, tiles hardly ever agree
# Of Agreement, and columns of Duplicates.
MEASURED = ("overlap", "correlation", "deformation", "bending", "shared_clutter")


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

    A picture has one view as a whole, and, if seams part it, one of each part, so that none is too small to be known.

    Returns:
        points, descriptors (features of all views, one view below the other), owners (the view's number), and of each
        view pictures (the picture's number, ascending, its whole first), boxes (pixels of the file), sizes (working
        width and height) and squares (see `whole.small`).

    """
    tasks = list(zip(range(0, len(pixels), IMAGES_A_TASK), pixels.pieces(IMAGES_A_TASK), strict=True))
    parts = map_shards(partial(_features, params=params), tasks, label="features", engine=engine, scratch=scratch)
    return SharedArrays.write(scratch, _numbered(parts))


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
    start, pixels = task
    taken: list[tuple[Any, ...]] = []
    for i in range(len(pixels)):
        for box, picture in views(pixels[i], side_pixels=params.side_pixels):
            features = extract(picture, max_features=params.max_features)
            taken.append((start + i, box, picture.grey.shape[::-1], small(picture), features))
    numbers, places, sizes, squares, found = zip(*taken, strict=True)
    return {
        "points": np.concatenate([f.points for f in found]),
        "descriptors": np.concatenate([f.descriptors for f in found]),
        "owners": np.repeat(np.arange(len(found)), [len(f.points) for f in found]),
        "pictures": np.array(numbers, dtype=np.int64),
        "boxes": np.array(places, dtype=np.int64),
        "sizes": np.array(sizes, dtype=np.int64),
        "squares": np.stack(squares),
    }


def _numbered(parts: Iterable[dict[str, Array]]) -> Iterator[dict[str, Array]]:
    """Number the views through: a task counts its own from 0."""
    before = 0
    for part in parts:
        yield part | {"owners": part["owners"] + before}
        before += len(part["pictures"])


def _verify_pairs(task: Pairs, *, features: SharedArrays, params: Verify) -> list[tuple[Any, ...]]:
    """Verify one task's pairs; of those that hold, the pair's place in the task, its finding and the transform."""
    looks = _Views(task, features, params)
    found = []
    for row, (a, b) in enumerate(task.pairs):
        finding = None
        for one, other in looks.pairs(a, b):
            finding = strongest(finding, looks.compare(one, other, floor=float(task.whole[row])))
            if is_copy(finding):
                break
        if finding:
            name, seen, inliers = finding
            measured = (float(getattr(seen, column)) for column in MEASURED)
            found.append((row, name, *measured, inliers, (seen.matrix / seen.matrix[2, 2]).ravel()))
    return found


class _Views:
    """What a task's pictures look like, as a whole and part by part; views are numbers of rows of the features."""

    def __init__(self, task: Pairs, features: SharedArrays, params: Verify) -> None:
        self._task, self._features, self._params = task, features, params
        limits = np.searchsorted(features["pictures"], np.stack([task.numbers, task.numbers + 1], axis=1))
        self._of = [range(start, stop) for start, stop in limits.tolist()]
        self._wholes = {views[0] for views in self._of}
        self._place = {view: place for place, views in enumerate(self._of) for view in views}
        self._own = {view: self._read_features(view) for view in self._place}
        self._tiny = {view: thumbnails(features["squares"][view : view + 1])[0] for view in self._place}
        self.picture = lru_cache(maxsize=CACHED)(self._picture)

    def pairs(self, a: int, b: int) -> Iterator[tuple[int, int]]:
        """Pair the views of the pictures in these places: the wholes, then each one's parts with the other's whole.

        Parts are not compared with parts: what surrounds the pictures on two sheets, a menu say, is often the same.
        """
        (one, *some), (other, *others) = self._of[a], self._of[b]
        yield one, other
        yield from ((one, part) for part in others)
        yield from ((part, other) for part in some)

    def compare(self, a: int, b: int, *, floor: float) -> Finding | None:
        """Compare two views.

        Args:
            a: of one picture.
            b: of another.
            floor: least correlation of one more comparison, of wholes with all their grey values; infinite: only where
                they have few features.

        Returns:
            what they are, its matrix from pixels of a's file to those of b's.

        """
        finding = self._by_features(a, b)
        few = min(len(self._own[view].points) for view in (a, b)) < FEW_FEATURES
        if {a, b} <= self._wholes:
            if (few or np.isfinite(floor)) and not is_copy(finding):
                finding = strongest(finding, self._by_whole(a, b, floor=floor, few=few))
        elif finding and self._shown(a, b, finding.seen.matrix) < PART_MIN_SHOWN:
            return None
        if finding is None:
            return None
        matrix = np.linalg.inv(self.picture(b).to_working) @ finding.seen.matrix @ self.picture(a).to_working
        return finding._replace(seen=finding.seen._replace(matrix=matrix))

    def _shown(self, a: int, b: int, matrix: Array) -> float:
        """Return the share of the view that is a whole which the other, a part, shows."""
        shape, other = (self.picture(view).grey.shape for view in (a, b))
        return covered(shape, other, matrix) if a in self._wholes else covered(other, shape, np.linalg.inv(matrix))

    def _by_features(self, a: int, b: int) -> Finding | None:
        params, width = self._params, self._features["sizes"][b, 0]
        least = params.same_lesion_min_inliers
        alignment = align(self._own[a], self._own[b], b_width=width, min_inliers=least)
        if alignment is None:
            return None
        finding = compare(self.picture(a), self.picture(b), alignment, params=params)
        if is_copy(finding):
            return finding
        one, other = (Side(self.picture(view), self._own[view], partial(self._file, view)) for view in (a, b))
        matrix = finding.seen.matrix if finding else alignment.matrix
        return strongest(finding, compare_closely(one, other, matrix, params=params))

    def _by_whole(self, a: int, b: int, *, floor: float, few: bool) -> Finding | None:
        sizes, squares = self._features["sizes"], self._features["squares"]
        shapes = (tuple(sizes[a, ::-1].tolist()), tuple(sizes[b, ::-1].tolist()))
        orientation = most_alike(self._tiny[a], self._tiny[b])
        whole = align_whole(squares[a], squares[b], orientation=orientation, shapes=shapes)
        if whole is None or whole.detail < WHOLE_MIN_DETAIL or not plausible(whole.matrix):
            return None
        return compare_whole(self.picture(a), self.picture(b), whole, floor=floor, few=few, params=self._params)

    def _read_features(self, view: int) -> Features:
        start, stop = np.searchsorted(self._features["owners"], [view, view + 1])
        return Features(self._features["points"][start:stop], self._features["descriptors"][start:stop])

    def _file(self, view: int) -> Array:
        return self._task.pixels[self._place[view]]

    def _picture(self, view: int) -> Canonical:
        box = tuple(self._features["boxes"][view].tolist())
        return canonical(self._file(view), side_pixels=self._params.side_pixels, box=box)
