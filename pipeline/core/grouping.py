"""Groups and their splits: what `dedup` makes, and `rebalance` makes again after the stewards' pair verdicts.

The one law both rely on: adding data never makes an image less protected. It holds because the split of a group is the
most protected among its units' own, a unit's split is a hash of its name alone, and added data only adds units and
edges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SPLITS = ("train", "validation", "test")  # the less protected first


def components(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Label every name with the smallest name of its connected component.

    Args:
        names: distinct.
        edges: pairs of names, in any order.

    Returns:
        one label a name, in their order.

    Raises:
        KeyError: an edge has an end that `names` lacks.

    """
    position = {name: i for i, name in enumerate(names)}
    ends = np.array([(position[a], position[b]) for a, b in edges], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for name, label in zip(names, labels, strict=True):
        smallest[label] = min(name, smallest.get(label, name))
    return [smallest[label] for label in labels]


def links(names: Sequence[str], keys: Sequence[object]) -> list[tuple[str, str]]:
    """Link the names of one key to the first of them: n names, n - 1 edges; a missing key (None, NaN) links nothing."""
    first: dict[str, str] = {}
    joined = []
    for name, key in zip(names, keys, strict=True):
        if isinstance(key, str) and first.setdefault(key, name) != name:
            joined.append((first[key], name))
    return joined


def assign_splits(
    units: Sequence[str], groups: Sequence[str], *, salt: str, validation_share: float, test_share: float
) -> list[str]:
    """Give every image its group's split: the most protected among the splits its units hash to.

    Args:
        units: of every image, its lesion, or the image itself where the source names none.
        groups: of every image, its group.
        salt: another salt is another partition.
        validation_share: of units, expected.
        test_share: likewise.

    Returns:
        one split an image.

    """
    rank: dict[str, int] = {}
    for unit, group in zip(units, groups, strict=True):
        own = unit_split(unit, salt=salt, validation_share=validation_share, test_share=test_share)
        rank[group] = max(SPLITS.index(own), rank.get(group, 0))
    return [SPLITS[rank[group]] for group in groups]


def hashed_share(text: str) -> float:
    """Hash a text to a number in [0, 1), uniform over texts and the same for ever."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def unit_split(unit: str, *, salt: str, validation_share: float, test_share: float) -> str:
    """Hash one unit to a split: uniform over names, the same for ever."""
    position = hashed_share(f"{salt}:{unit}")
    if position < test_share:
        return "test"
    return "validation" if position < test_share + validation_share else "train"
