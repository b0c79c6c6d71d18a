"""Which image is whose copy, and what must not be parted.

A copy is removed only if it has a proof against the very image that is kept (direct cover): chains of proofs are not
followed, because ten small steps may lead from one lesion to another.

Images with the same pixels are one class with one representative. It alone is compared with others, and what is proven
of it holds for its twins, so a thousand identical images cost a thousand edges and not half a million.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.grouping import assign_splits, components, links
from pipeline.stages.dedup.params import Split

EVIDENCE = ("histopathology", "confocal", "follow-up", "consensus")  # strongest first; then any other, then none


def keeper_ranks(images: pd.DataFrame, flags: pd.Series[Any]) -> NDArray[np.int64]:
    """Rank the images by which of two copies to keep: 0 is kept before all others.

    Better label evidence goes first, then more pixels, then fewer quality flags, then the smaller image_id.

    Args:
        images: label_evidence, width, height; sorted by image_id.
        flags: the lists of quality flags of `images`.

    """
    weakest = len(EVIDENCE)
    evidence = images["label_evidence"].map({name: i for i, name in enumerate(EVIDENCE)}).fillna(weakest)
    evidence = evidence + (images["label_evidence"].isna()).astype(int)
    area = images["width"] * images["height"]
    order = np.lexsort([flags.map(len).to_numpy(), -area.to_numpy(), evidence.to_numpy()])
    ranks = np.empty(len(images), np.int64)
    ranks[order] = np.arange(len(images))
    return ranks


def twin_keys(images: pd.DataFrame, flags: pd.Series[Any]) -> pd.Series[str]:
    """Return what images must share to be one: their pixels, or their bytes where the pixels show nothing.

    Two blank images are equal whatever they were taken of: an export that failed twice is no copy.
    """
    blank = flags.map(lambda raised: "blank" in raised).to_numpy(dtype=bool)
    return images["pixel_sha256"].mask(blank, images["sha256"])


def representatives(keys: pd.Series[str], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for every image, (images,), the position of the best-ranked image of the same key (see `twin_keys`)."""
    best = pd.Series(ranks).groupby(keys.to_numpy()).transform("min").to_numpy()
    by_rank = np.argsort(ranks)
    positions: NDArray[np.int64] = by_rank[best]
    return positions


def cover(copies: NDArray[np.int64], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose what is kept: going by rank, an image with a `copy` edge to a kept one is that one's duplicate.

    Args:
        copies: (edges, 2) positions.
        ranks: of all images.

    Returns:
        for every image the position of the kept image, itself if it is kept.

    """
    neighbours: dict[int, list[int]] = {}
    for a, b in copies.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    kept = np.arange(len(ranks))
    for image in sorted(neighbours, key=lambda position: int(ranks[position])):
        better = [n for n in neighbours[image] if ranks[n] < ranks[image] and kept[n] == n]
        if better:
            kept[image] = min(better, key=lambda position: int(ranks[position]))
    return kept


def group_images(images: pd.DataFrame, edges: pd.DataFrame, kept: NDArray[np.int64], split: Split) -> pd.DataFrame:
    """Build the table Groups.

    An image whose source names no lesion is a lesion of its own: were it named after its group, a new image with a
    smaller name could move a whole group out of the test set.

    Args:
        images: image_id, lesion_id, patient_id.
        edges: a, b: image_ids of verified pairs.
        kept: for every image the position of the kept one.
        split: shares and salt.

    """
    ids = images["image_id"].to_numpy()
    names = ids.tolist()
    bonds = list(zip(edges["a"], edges["b"], strict=True))
    for key in ("lesion_id", "patient_id"):
        bonds += links(names, images[key].tolist())
    groups = components(names, bonds)
    units = images["lesion_id"].fillna(images["image_id"]).tolist()
    return pd.DataFrame(
        {
            "image_id": ids,
            "duplicate_of": pd.Series(ids[kept]).where(kept != np.arange(len(ids)), None),
            "group_id": groups,
            "split": assign_splits(units, groups, **split.model_dump()),
        }
    )
