from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faiss.contrib import ivf_tools
from numpy.typing import NDArray

from bench.search.checks import distances
from pipeline.core.orientations import COUNT
from pipeline.stages.dedup.candidates import hash_search
from pipeline.stages.dedup.candidates.hash_search import choose_keys, near_hashes


def hashes(count: int, *, bits: int = 256, seed: int = 0) -> NDArray[np.uint8]:
    """Random hashes; two in three lie, in one of their orientations, near one before them."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 2, (count, COUNT, bits), dtype=np.uint8)
    for i in range(1, count):
        if i % 3:
            flipped = rng.permutation(bits)[: rng.integers(bits // 4)]
            orientation = rng.integers(COUNT)
            drawn[i, orientation] = drawn[rng.integers(i), 0]
            drawn[i, orientation, flipped] ^= 1
    return np.packbits(drawn, axis=2).reshape(count, -1)


def by_brute_force(phash: NDArray[np.uint8], radius: int) -> list[list[int]]:
    pairs = np.array(list(combinations(range(len(phash)), 2)))
    return pairs[distances(phash, pairs) <= radius].tolist()  # type: ignore[no-any-return]


@pytest.fixture(params=["cheapest plan", "many keys"])
def plan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So few hashes are best compared all with all; were comparing dear, they would be sought by many keys."""
    monkeypatch.setattr(hash_search, "BLOCK", 37)
    monkeypatch.setattr(hash_search, "COMPARED", 3000)
    if request.param == "many keys":
        monkeypatch.setattr(hash_search, "COMPARISON", 1.0)
        monkeypatch.setattr(hash_search, "MAX_KEY_BITS", 8)


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize("radius", [0, 1, 9, 23, 31, 50])
def test_no_pair_is_missed_and_none_invented(radius: int) -> None:
    phash = hashes(150)
    phash[[20, 77, 140]] = phash[5]
    expected = by_brute_force(phash, radius)
    assert near_hashes(phash, max_distance_bits=radius).tolist() == expected
    assert len(expected) >= (80 if radius == 50 else 6)


@pytest.mark.usefixtures("plan")
def test_hashes_of_64_bits_are_sought_likewise() -> None:
    phash = hashes(120, bits=64, seed=1)
    assert near_hashes(phash, max_distance_bits=9).tolist() == by_brute_force(phash, 9)


@pytest.mark.parametrize("radius", [0, 7, 31])
def test_bits_that_differ_never_break_all_keys_even_if_chosen_to(radius: int) -> None:
    unbroken = choose_keys(10**6, bits=256, max_distance_bits=radius)
    assert {len(key) for key in unbroken} <= set(range(10, 23))
    for _ in range(radius):
        worst = np.bincount(np.concatenate(unbroken), minlength=256).argmax()
        unbroken = [key for key in unbroken if worst not in key]
    assert unbroken


def test_keys_grow_with_the_images_so_that_buckets_stay_small() -> None:
    lengths = [len(choose_keys(10**n, bits=256, max_distance_bits=31)[0]) for n in range(3, 8)]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 2 * lengths[0]


def test_workers_find_what_one_process_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_core: None) -> None:
    del one_core
    monkeypatch.setattr(hash_search, "COMPARISON", 1.0)
    monkeypatch.setattr(hash_search, "MAX_KEY_BITS", 8)
    monkeypatch.setattr(hash_search, "SHARD_SECONDS", 100.0)
    phash = hashes(150)
    found = near_hashes(phash, max_distance_bits=31, scratch=tmp_path)
    assert len(list(tmp_path.glob("compare hashes-*.pkl"))) > 2
    assert found.tolist() == by_brute_force(phash, 31)


def test_a_flood_of_one_hash_costs_no_more_pairs_than_images(monkeypatch: pytest.MonkeyPatch) -> None:
    blank, others = 30_000, hashes(60)
    phash = np.concatenate([others, np.tile(others[3], (blank, 1))])
    compared = []
    search = ivf_tools.range_search_preassigned

    def counting(index: Any, rows: NDArray[np.int64], *rest: Any) -> Any:
        compared.append(len(rows))
        return search(index, rows, *rest)

    monkeypatch.setattr(hash_search, "range_search_preassigned", counting)
    found = near_hashes(phash, max_distance_bits=31)
    assert sum(compared) < 10 * COUNT * (len(others) + hash_search.MOST)  # the flood itself is not sought
    partners = np.bincount(found[:, 1], minlength=len(phash))
    assert (partners[len(others) + hash_search.MOST :] == hash_search.MOST).all()
    among_others = found[found[:, 1] < len(others)].tolist()
    assert among_others == by_brute_force(others, 31)


def test_of_a_flood_of_near_hashes_each_is_paired_with_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_search, "MOST", 5)
    rng = np.random.default_rng(0)
    bits = np.repeat(np.unpackbits(hashes(1)).reshape(1, COUNT, 256), 300, axis=0)
    for copy in bits:
        copy[:, rng.permutation(256)[:8]] ^= 1
    found = near_hashes(np.packbits(bits, axis=2).reshape(300, -1), max_distance_bits=31)
    assert (np.bincount(found[:, 1], minlength=300)[:6] == np.arange(6)).all()
    assert (np.bincount(found[:, 1], minlength=300)[5:] == 5).all()
