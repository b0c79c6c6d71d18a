"""Pairs of images as arrays of their positions: (pairs, 2), the smaller first, sorted, each once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def distinct(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order every pair, (pairs, 2) positions, and the pairs; drop repeats and pairs of an image with itself."""
    ordered = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1).astype(np.int64)
    codes = np.sort(ordered[:, 0] << 32 | ordered[:, 1])  # one number a pair sorts many times faster than a row
    codes = codes[np.diff(codes, prepend=-1) != 0]
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1)


def same_key(keys: pd.Series[str]) -> NDArray[np.int64]:
    """Pair all images that share a key (a lesion), (pairs, 2); a missing key pairs nothing."""
    groups = pd.Series(np.arange(len(keys))).groupby(keys.to_numpy()).agg(list)
    pairs = [pair for group in groups for pair in combinations(group, 2)]
    return distinct(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def merge(proposals: Mapping[str, NDArray[np.int64]]) -> pd.DataFrame:
    """Join the proposals of all sources.

    Args:
        proposals: (pairs, 2) positions, by source.

    Returns:
        a, b (positions, a < b), proposed_by (sorted tuple of sources); sorted.

    """
    sources = sorted(proposals)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(proposals[source] for source in sources)])
    bits = np.repeat(1 << np.arange(len(sources)), [len(proposals[source]) for source in sources])
    frame = pd.DataFrame({"a": pairs[:, 0], "b": pairs[:, 1], "bits": bits})
    frame = frame.groupby(["a", "b"], sort=True)["bits"].sum().reset_index()
    names = {code: tuple(s for i, s in enumerate(sources) if code >> i & 1) for code in frame["bits"].unique()}
    frame["proposed_by"] = pd.Series([names[code] for code in frame.pop("bits")], index=frame.index, dtype=object)
    return frame
