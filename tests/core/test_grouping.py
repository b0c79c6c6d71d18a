from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from pipeline.core.grouping import SPLITS, assign_splits, components, links, unit_split

SHARES: dict[str, Any] = {"salt": "s", "validation_share": 0.15, "test_share": 0.25}


def test_a_component_is_named_after_its_smallest_member() -> None:
    assert components(["d", "b", "c", "a"], [("d", "b"), ("b", "c")]) == ["b", "b", "b", "a"]


def test_without_edges_every_name_stands_alone() -> None:
    assert components(["b", "a"], []) == ["b", "a"]
    assert components([], []) == []


def test_an_edge_to_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        components(["a"], [("a", "z")])


def test_a_key_of_many_names_gives_linearly_many_edges_and_a_missing_key_none() -> None:
    names = [f"i{i:04d}" for i in range(1000)]
    edges = links(names, ["x"] * 1000)
    assert len(edges) == 999
    assert set(components(names, edges)) == {"i0000"}
    assert links(["a", "b", "c"], [None, None, float("nan")]) == []


def test_a_unit_hashes_to_each_split_by_its_share() -> None:
    counts = Counter(unit_split(f"lesion {i}", **SHARES) for i in range(20_000))
    assert counts["test"] / 20_000 == pytest.approx(0.25, abs=0.01)
    assert counts["validation"] / 20_000 == pytest.approx(0.15, abs=0.01)


def test_a_group_takes_the_most_protected_split_of_its_units() -> None:
    by_split = {split: next(u for u in map(str, range(99)) if unit_split(u, **SHARES) == split) for split in SPLITS}
    train, validation, test = (by_split[split] for split in SPLITS)
    assert assign_splits([train, validation], ["g", "g"], **SHARES) == ["validation"] * 2
    assert assign_splits([train, validation, test], ["g", "g", "g"], **SHARES) == ["test"] * 3


def test_adding_images_and_edges_never_makes_an_image_less_protected() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        names = [str(n) for n in rng.permutation(60)]
        units = [f"lesion {rng.integers(40)}" for _ in names]
        edges = [(names[a], names[b]) for a, b in rng.integers(60, size=(25, 2))]
        few = set(names[:35])
        before = _splits(names[:35], units[:35], [e for e in edges[:12] if few.issuperset(e)])
        after = _splits(names, units, edges)
        assert all(SPLITS.index(after[name]) >= SPLITS.index(before[name]) for name in few)


def _splits(names: list[str], units: list[str], edges: list[tuple[str, str]]) -> dict[str, str]:
    groups = components(names, [*edges, *links(names, units)])
    splits = assign_splits(units, groups, **SHARES)
    assert all(len({s for s, g in zip(splits, groups, strict=True) if g == group}) == 1 for group in groups)
    return dict(zip(names, splits, strict=True))
