"""Prove a candidate pair, or drop it: geometry must map one image to the other, and what overlaps must agree.

Of each pair the views are compared in turn (`_Views.pairs`), until one comparison proves a copy:

    keypoints -> RANSAC -> registration -> relation; no copy: the second-pass crop, likewise
    full frames that hashes or thumbnails proposed, or with few keypoints: direct alignment -> registration -> relation
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import SharedArrays
from pipeline.core.engine import Engine, map_shards
from pipeline.core.shards import Pixels
from pipeline.stages.dedup.features.extract import thumbnails
from pipeline.stages.dedup.features.keypoints import Keypoints
from pipeline.stages.dedup.features.preprocess import PreprocessedImage, preprocess
from pipeline.stages.dedup.verification.direct_alignment import align_directly, most_alike
from pipeline.stages.dedup.verification.ransac import align_keypoints, plausible
from pipeline.stages.dedup.verification.registration import covered
from pipeline.stages.dedup.verification.relations import (
    THRESHOLDS,
    Edge,
    Thresholds,
    compare_by_keypoints,
    compare_directly,
    is_copy,
    strongest,
)
from pipeline.stages.dedup.verification.second_pass import Side, compare_again

PAIRS_A_TASK = 250
FEW_KEYPOINTS = 40  # with less, the images are aligned directly, too, and may have no tile to compare
CACHED = 64  # decoded images a worker keeps: pairs come sorted, so one side repeats
PANEL_MIN_SHOWN = 0.5  # of a full frame, on a panel that proves it: what collages share beside their images shows less
DIRECT_MIN_DETAIL = 0.4  # correlation of small squares; with less, tiles hardly ever agree
MEASURED = ("overlap", "correlation", "residual", "bending", "shared_occlusions")  # of Registration; of Duplicates


class Task(NamedTuple):
    """Some pairs, as places in the rest, which holds each image's number among all, and its pixels.

    floors: of each pair the least correlation by which a direct alignment shows one lesion; None: it shows copies only.
    """

    pairs: NDArray[np.int64]
    floors: tuple[float | None, ...]
    numbers: NDArray[np.int64]
    pixels: Pixels


def verify(
    candidates: pd.DataFrame,
    pixels: Pixels,
    features: SharedArrays,
    *,
    thresholds: Thresholds = THRESHOLDS,
    engine: Engine,
    scratch: Path,
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Look at every candidate pair.

    Args:
        candidates: a, b (positions into pixels, a < b), proposed_by; sorted.
        pixels: of all images.
        features: of all images, from `features.extract`.
        thresholds: of both relations.
        engine: where the work is done.
        scratch: for finished work.

    Returns:
        the candidates that hold, with relation, what MEASURED lists, inliers; their transforms (n, 9).

    """
    columns = ["row", "relation", *MEASURED, "inliers"]
    tasks = list(_tasks(candidates, pixels, thresholds))
    check = partial(_verify_pairs, features=features, thresholds=thresholds)
    parts = list(map_shards(check, tasks, label="verify pairs", engine=engine, scratch=scratch))
    offsets = np.cumsum([0, *(len(task.pairs) for task in tasks)])
    rows = [(offset + row, *rest) for offset, part in zip(offsets, parts, strict=False) for row, *rest in part]
    proofs = pd.DataFrame([row[:-1] for row in rows], columns=columns).astype({"row": "int64", "inliers": "int64"})
    transforms = np.array([row[-1] for row in rows], dtype=np.float32).reshape(-1, 9)
    proven = candidates.iloc[proofs.pop("row")].reset_index(drop=True)
    return pd.concat([proven, proofs], axis=1), transforms


def _tasks(candidates: pd.DataFrame, pixels: Pixels, thresholds: Thresholds) -> Iterator[Task]:
    by_source = {"phash": thresholds.phash_min_correlation, "thumbnail": thresholds.thumbnail_min_correlation}
    floors = [
        min((by_source[source] for source in sources if source in by_source), default=None)
        for sources in candidates["proposed_by"]
    ]
    pairs = candidates[["a", "b"]].to_numpy()
    for start in range(0, len(pairs), PAIRS_A_TASK):
        stop = start + PAIRS_A_TASK
        numbers, places = np.unique(pairs[start:stop], return_inverse=True)
        yield Task(places.reshape(-1, 2), tuple(floors[start:stop]), numbers, pixels.take(numbers))


def _verify_pairs(task: Task, *, features: SharedArrays, thresholds: Thresholds) -> list[tuple[Any, ...]]:
    """Verify one task's pairs; of those that hold, the pair's place in the task, its edge and the transform."""
    views = _Views(task, features, thresholds)
    rows = []
    for row, (a, b) in enumerate(task.pairs):
        edge = None
        for one, other in views.pairs(a, b):
            edge = strongest(edge, views.compare(one, other, same_lesion_floor=task.floors[row]))
            if is_copy(edge):
                break
        if edge:
            name, registration, inliers = edge
            measured = (float(getattr(registration, column)) for column in MEASURED)
            matrix = registration.matrix
            rows.append((row, name, *measured, inliers, (matrix / matrix[2, 2]).ravel()))
    return rows


class _Views:
    """The views of a task's images, full frames and panels, each by the number of its row in the features."""

    def __init__(self, task: Task, features: SharedArrays, thresholds: Thresholds) -> None:
        self._task, self._features, self._thresholds = task, features, thresholds
        limits = np.searchsorted(features["images"], np.stack([task.numbers, task.numbers + 1], axis=1))
        self._of = [range(start, stop) for start, stop in limits.tolist()]
        self._full_frames = {views[0] for views in self._of}
        self._place = {view: place for place, views in enumerate(self._of) for view in views}
        self._keypoints = {view: self._read_keypoints(view) for view in self._place}
        self._thumbnail = {view: thumbnails(features["squares"][view : view + 1])[0] for view in self._place}
        self.image = lru_cache(maxsize=CACHED)(self._preprocess)

    def pairs(self, a: int, b: int) -> Iterator[tuple[int, int]]:
        """Pair the views of the images in these places: the full frames, then each one's panels with the other's frame.

        Panels are not compared with panels: what surrounds the images in two collages, a menu say, is often the same.
        """
        (one, *panels), (other, *other_panels) = self._of[a], self._of[b]
        yield one, other
        yield from ((one, panel) for panel in other_panels)
        yield from ((panel, other) for panel in panels)

    def compare(self, a: int, b: int, *, same_lesion_floor: float | None) -> Edge | None:
        """Compare two views.

        Args:
            a: of one image.
            b: of another.
            same_lesion_floor: full frames for which it is given are aligned directly, too; those for which it is None
                only where they have few keypoints.

        Returns:
            what they are, its matrix from pixels of a's file to those of b's.

        """
        edge = self._compare_by_keypoints(a, b)
        few = min(len(self._keypoints[view].points) for view in (a, b)) < FEW_KEYPOINTS
        if {a, b} <= self._full_frames:
            if (few or same_lesion_floor is not None) and not is_copy(edge):
                direct = self._compare_directly(a, b, same_lesion_floor=same_lesion_floor, few_keypoints=few)
                edge = strongest(edge, direct)
        elif edge and self._shown(a, b, edge.registration.matrix) < PANEL_MIN_SHOWN:
            return None
        if edge is None:
            return None
        matrix = np.linalg.inv(self.image(b).to_working) @ edge.registration.matrix @ self.image(a).to_working
        return edge._replace(registration=edge.registration._replace(matrix=matrix))

    def _shown(self, a: int, b: int, matrix: NDArray[np.floating[Any]]) -> float:
        """Return the share of the view that is a full frame which the other, a panel, shows."""
        shape, other = (self.image(view).grey.shape for view in (a, b))
        if a in self._full_frames:
            return covered(shape, other, matrix)
        return covered(other, shape, np.linalg.inv(matrix))

    def _compare_by_keypoints(self, a: int, b: int) -> Edge | None:
        thresholds, width = self._thresholds, self._features["sizes"][b, 0]
        least = thresholds.same_lesion_min_inliers
        alignment = align_keypoints(self._keypoints[a], self._keypoints[b], b_width=width, min_inliers=least)
        if alignment is None:
            return None
        edge = compare_by_keypoints(self.image(a), self.image(b), alignment, thresholds=thresholds)
        if is_copy(edge):
            return edge
        one, other = (Side(self.image(view), self._keypoints[view], partial(self._file, view)) for view in (a, b))
        matrix = edge.registration.matrix if edge else alignment.matrix
        return strongest(edge, compare_again(one, other, matrix, thresholds=thresholds))

    def _compare_directly(self, a: int, b: int, *, same_lesion_floor: float | None, few_keypoints: bool) -> Edge | None:
        sizes, squares = self._features["sizes"], self._features["squares"]
        shapes = (tuple(sizes[a, ::-1].tolist()), tuple(sizes[b, ::-1].tolist()))
        orientation = most_alike(self._thumbnail[a], self._thumbnail[b])
        alignment = align_directly(squares[a], squares[b], orientation=orientation, shapes=shapes)
        if alignment is None or alignment.detail < DIRECT_MIN_DETAIL or not plausible(alignment.matrix):
            return None
        return compare_directly(
            self.image(a),
            self.image(b),
            alignment,
            same_lesion_floor=same_lesion_floor,
            few_keypoints=few_keypoints,
            thresholds=self._thresholds,
        )

    def _read_keypoints(self, view: int) -> Keypoints:
        start, stop = np.searchsorted(self._features["owners"], [view, view + 1])
        return Keypoints(self._features["points"][start:stop], self._features["descriptors"][start:stop])

    def _file(self, view: int) -> NDArray[np.uint8]:
        return self._task.pixels[self._place[view]]

    def _preprocess(self, view: int) -> PreprocessedImage:
        left, top, right, bottom = self._features["boxes"][view].tolist()
        return preprocess(self._file(view), box=(left, top, right, bottom))
