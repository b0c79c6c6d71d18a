"""The edges of the table Duplicates: twins, by equal bytes or pixels, and proven pairs, also on behalf of twins."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IDENTITY = np.eye(3, dtype=np.float32).ravel()


def all_edges(
    images: pd.DataFrame,
    proven: pd.DataFrame,
    transforms: NDArray[np.float32],
    *,
    represented_by: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Build the table Duplicates.

    Args:
        images: image_id and sha256, sorted by image_id.
        proven: verified pairs of representatives, a and b as positions.
        transforms: of `proven`, (n, 9).
        represented_by: for every image the position of its representative.
        kept: for every image the position of the kept one, itself for a kept one.

    Returns:
        the scalar columns, and the transforms, (edges, 9).

    """
    proven = proven.assign(evidence="geometry")
    parts = [
        (proven, transforms),
        twin_edges(images["sha256"], represented_by),
        inherited_edges(proven, transforms, represented_by=represented_by, kept=kept),
    ]
    edges = pd.concat([part for part, _ in parts if len(part)] or [proven], ignore_index=True)
    ids = images["image_id"].to_numpy()
    edges["a"], edges["b"] = ids[edges["a"].to_numpy(int)], ids[edges["b"].to_numpy(int)]
    return edges, np.concatenate([matrices for _, matrices in parts])


def twin_edges(sha256: pd.Series[str], represented_by: NDArray[np.int64]) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Link every image to the representative of its pixels.

    Args:
        sha256: of the bytes received.
        represented_by: for every image the position of its representative.

    Returns:
        edges between positions, and their transforms, (edges, 9).

    """
    twins = np.flatnonzero(represented_by != np.arange(len(represented_by)))
    pairs = np.sort(np.stack([twins, represented_by[twins]], axis=1), axis=1)
    hashes = sha256.to_numpy()
    same_bytes = hashes[pairs[:, 0]] == hashes[pairs[:, 1]]
    edges = pd.DataFrame(
        {
            "a": pairs[:, 0],
            "b": pairs[:, 1],
            "relation": "copy",
            "evidence": np.where(same_bytes, "bytes", "pixels"),
            "proposed_by": [["bytes", "pixels"] if same else ["pixels"] for same in same_bytes],
            "overlap": 1.0,
            "correlation": 1.0,
            "residual": 0.0,
            "bending": 0.0,
            "shared_occlusions": 1.0,
            "inliers": 0,
        }
    )
    return edges, np.tile(IDENTITY, (len(edges), 1))


def inherited_edges(
    proven: pd.DataFrame,
    transforms: NDArray[np.float32],
    *,
    represented_by: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Link the twins of every removed representative to the image that is kept in its place.

    A twin has the same pixels, so verifying it would give the same numbers.

    Args:
        proven: verified pairs of representatives.
        transforms: of `proven`, (n, 9).
        represented_by: for every image the position of its representative.
        kept: for every image the position of the kept one, itself for a kept one.

    """
    keeper = kept[represented_by]
    twins = np.flatnonzero((represented_by != np.arange(len(kept))) & (keeper != represented_by))
    place = {pair: i for i, pair in enumerate(zip(proven["a"], proven["b"], strict=True))}
    ends = np.sort(np.stack([represented_by[twins], keeper[twins]], axis=1), axis=1)
    rows = np.array([place[a, b] for a, b in ends.tolist()], dtype=np.int64)
    edges = proven.iloc[rows].reset_index(drop=True)
    moved = transforms[rows].copy()
    pairs = np.sort(np.stack([twins, keeper[twins]], axis=1), axis=1)
    # The transform leads from a to b; where the twin sorts to the other side of the keeper, it must lead back.
    reversed_ = (proven["a"].to_numpy()[rows] == keeper[twins]) != (pairs[:, 0] == keeper[twins])
    for i in np.flatnonzero(reversed_):
        moved[i] = np.linalg.inv(moved[i].reshape(3, 3)).ravel()
    edges["a"], edges["b"] = pairs.T
    edges["proposed_by"] = [["pixels", *sources] for sources in edges["proposed_by"]]
    return edges, moved
