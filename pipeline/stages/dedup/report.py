"""The report: counts, the pairs that contradict labels or cross lesions, and drawings of both images of a pair."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.grouping import SPLITS
from pipeline.core.progress import track
from pipeline.core.shards import Pixels

PANEL = (320, 240)  # width, height
STRIP = 44  # height of the caption
GAP = 4
OUTLINE = (0, 200, 0)


def conflicts(duplicates: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """List verified pairs with unlike diagnoses, of different lesions, or of different batches: the dataset's errors.

    Args:
        duplicates: the scalar columns of Duplicates.
        images: the table Images.

    Returns:
        one row a pair, sorted; the flags say which of the three it is.

    """
    columns = ["image_id", "diagnosis", "lesion_id"]
    frame = duplicates[["a", "b", "relation", "evidence", "correlation", "inliers"]]
    for end in ("a", "b"):
        named = images[columns].rename(columns={c: f"{c}_{end}" for c in columns})
        frame = frame.merge(named, left_on=end, right_on=f"image_id_{end}").drop(columns=f"image_id_{end}")
    frame["across_diagnoses"] = frame["diagnosis_a"] != frame["diagnosis_b"]
    known = frame["lesion_id_a"].notna() & frame["lesion_id_b"].notna()
    frame["across_lesions"] = known & (frame["lesion_id_a"] != frame["lesion_id_b"])
    frame["across_batches"] = _batches(frame["a"]) != _batches(frame["b"])
    listed = frame[["across_diagnoses", "across_lesions", "across_batches"]].any(axis=1)
    return frame[listed].sort_values(["relation", "a", "b"], ignore_index=True)


def summarise(
    candidates: pd.DataFrame, duplicates: pd.DataFrame, groups: pd.DataFrame, conflicting: pd.DataFrame
) -> dict[str, Any]:
    """Count what was proposed, proven, removed and grouped.

    Args:
        candidates: proposed_by of every pair that was verified.
        duplicates: the table Duplicates.
        groups: the table Groups.
        conflicting: from `conflicts`.

    """
    sizes = groups["group_id"].value_counts()
    removed = groups["duplicate_of"].notna()
    crossing = ("across_diagnoses", "across_lesions", "across_batches")
    return {
        "images": len(groups),
        "candidates": len(candidates),
        "candidates_by_source": _count(source for sources in candidates["proposed_by"] for source in sources),
        "edges": len(duplicates),
        "edges_by_relation": _count(duplicates["relation"]),
        "edges_by_evidence": _count(duplicates["evidence"]),
        "removed": int(removed.sum()),
        "groups": len(sizes),
        "groups_of_several": int((sizes > 1).sum()),
        "largest_group": int(sizes.max()),
        "images_by_split": {split: int((groups["split"] == split).sum()) for split in SPLITS},
        "kept_by_split": {split: int((groups["split"][~removed] == split).sum()) for split in SPLITS},
        "conflicts": {name: _count(conflicting.loc[conflicting[name], "relation"]) for name in crossing},
    }


def choose(duplicates: pd.DataFrame, conflicting: pd.DataFrame, *, count: int) -> NDArray[np.int64]:
    """Choose the rows most worth a look: proven by geometry, first those that contradict labels or lesions.

    Returns:
        positions of rows of `duplicates`, best first.

    """
    errors = set(zip(conflicting["a"], conflicting["b"], strict=True))
    contradicts = np.array([pair in errors for pair in zip(duplicates["a"], duplicates["b"], strict=True)], dtype=bool)
    geometry = (duplicates["evidence"] == "geometry").to_numpy()
    order = np.lexsort([-duplicates["inliers"].to_numpy(), ~contradicts, ~geometry])
    return order[:count]


def draw(
    duplicates: pd.DataFrame,
    transforms: NDArray[np.float32],
    chosen: NDArray[np.int64],
    *,
    image_ids: NDArray[Any],
    pixels: Pixels,
) -> Iterator[tuple[str, bytes]]:
    """Draw pairs side by side, with the overlay and a caption.

    Args:
        duplicates: the table Duplicates.
        transforms: of `duplicates`, (n, 9).
        chosen: rows to draw, in this order.
        image_ids: of `pixels`, sorted.
        pixels: of all images.

    Yields:
        file name and PNG bytes.

    """
    for i, position in enumerate(track(chosen, "draw pairs", unit="pairs")):
        row, transform = duplicates.iloc[position], transforms[position]
        first, second = (pixels[int(np.searchsorted(image_ids, row[end]))] for end in ("a", "b"))
        blend = overlay(first, second, transform)
        evidence = (
            f"{row.evidence}, correlation {row.correlation:.2f}, {row.inliers} inliers, overlap {row.overlap:.2f}"
        )
        image = _compose([first, second, blend], [str(row.a), str(row.b), f"{row.relation}: {evidence}"])
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        yield f"{i:03d}_{row.relation}.png", buffer.getvalue()


def overlay(first: NDArray[np.uint8], second: NDArray[np.uint8], transform: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Blend the first image, warped, with the second, and outline it there; beyond it the second is dark.

    Args:
        first: (height, width, 3).
        second: likewise; the result is as large.
        transform: homography from pixels of `first` to pixels of `second`, 9 numbers row by row.

    """
    size, matrix = second.shape[1::-1], transform.reshape(3, 3).astype(np.float64)
    moved = cv2.warpPerspective(first, matrix, size, flags=cv2.INTER_AREA)
    inside = cv2.warpPerspective(np.ones(first.shape[:2], np.uint8), matrix, size)
    blend = np.where(inside[..., None] > 0, (moved.astype(np.uint16) + second) // 2, second // 3).astype(np.uint8)
    edge, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(blend, edge, -1, OUTLINE, max(1, second.shape[1] // 200))
    return blend


def _compose(panels: list[NDArray[np.uint8]], captions: list[str]) -> Image.Image:
    width, height = PANEL
    drawing = Image.new("RGB", (3 * width + 2 * GAP, height + STRIP), "white")
    canvas, font = ImageDraw.Draw(drawing), ImageFont.load_default()
    for i, panel in enumerate(panels):
        image = Image.fromarray(panel)
        image.thumbnail(PANEL, Image.Resampling.LANCZOS)
        left = i * (width + GAP)
        drawing.paste(image, (left + (width - image.width) // 2, (height - image.height) // 2))
    names, proof = captions[:2], captions[2]
    canvas.text((4, height + 4), proof, "black", font)
    canvas.text((4, height + 22), "   |   ".join(names), "black", font)
    return drawing


def _batches(image_ids: pd.Series[str]) -> pd.Series[str]:
    return image_ids.map(lambda image_id: image_id.partition(":")[0])


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
