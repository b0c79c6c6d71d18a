from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.environments import UnavailableError
from bench.processes import measure
from bench.search.__main__ import FILING, SOME_ASK, each_ms, exponents, tables
from bench.search.checks import among, check, distances, nearest_of, unlike
from bench.search.drawn import ASKING, KINDS, draw, fit, load, planted, save, scores, spread, values
from bench.search.worker import flat_hashes, hashes
from pipeline.core.orientations import COUNT


def test_a_copula_keeps_marginals_and_correlations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(4000, 3))
    rows = np.stack([np.exp(normal[:, 0]), normal[:, 0] + 0.3 * normal[:, 1], normal[:, 2]], axis=1)
    save(fit(rows, rank=2), tmp_path / "kept.npz")
    kept = load(tmp_path / "kept.npz")
    drawn = values(kept, scores(kept, 4000, rng))
    shown, real = (np.quantile(sample, [0.1, 0.5, 0.9], axis=0) for sample in (drawn, rows))
    assert np.allclose(shown, real, atol=0.2)
    assert np.corrcoef(np.argsort(np.argsort(drawn[:, 0])), np.argsort(np.argsort(drawn[:, 1])))[0, 1] > 0.85
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1]) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_collection_has_its_size_holds_copies_and_is_the_seed_s(kind: str) -> None:
    first, again, other = (draw(kind, 300, seed=seed) for seed in (1, 1, 2))
    assert len(first["original"]) == 300
    assert len(planted(first["original"])) > 10
    assert np.bincount(first["original"]).max() <= 6
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_distances_are_those_of_the_nearest_orientation() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (6, COUNT, 256), dtype=np.uint8)
    bits[2, 5] = bits[1, 0]  # the third is the second in another orientation, but for 30 bits
    bits[2, 5, :30] ^= 1
    pairs = [(0, 1), (1, 2), (4, 5)]
    expected = [np.abs(bits[a, 0].astype(int) - bits[b]).sum(1).min() for a, b in pairs]
    assert expected[1] == 30
    assert distances(np.packbits(bits, axis=2).reshape(6, -1), np.array(pairs)).tolist() == expected


def test_copies_of_hashes_are_near_and_both_searches_find_the_same() -> None:
    given = draw("hashes", 1500, seed=0)
    ours, flat = (search(given, 31) for search in (hashes, flat_hashes))
    assert unlike(ours, flat) == 0
    found = check("hashes", given, ours, reach=31)
    assert found["planted"] > 50
    assert found["planted_missed"] == found["sampled_missed"] == found["sampled_invented"] == 0
    assert (distances(given["phash"], ours) <= 31).all()


def test_what_a_search_misses_is_counted() -> None:
    given = draw("hashes", 1500, seed=0)
    pairs = hashes(given, 31)
    invented = np.stack([np.arange(20), np.full(20, 1499)], axis=1)
    assert not among(invented, pairs).any()
    missing = check("hashes", given, np.concatenate([invented, pairs[len(pairs) // 2 :]]), reach=31)
    assert missing["planted_missed"] > 0
    assert missing["sampled_missed"] > 0
    assert 5 < missing["sampled_invented"] <= 20
    assert unlike(pairs, pairs[3:]) == 3


def test_the_nearest_are_named_in_order() -> None:
    vectors = draw("vectors", 200, seed=0)["vectors"]
    cosines = vectors @ vectors.T - 2 * np.eye(200)
    found = nearest_of(vectors, np.array([5, 0, 199]), reach=4)
    assert found[:, :, 1].tolist() == np.argsort(-cosines[[5, 0, 199]], axis=1)[:, :4].tolist()
    assert found[:, 0, 0].tolist() == [5, 0, 199]


SPEAKS = "import sys; print('ready', flush=True); sys.stdin.readline(); {}; print('done', flush=True)"


def test_what_lies_between_ready_and_done_is_measured() -> None:
    busy = "import time; held = bytearray(80 * 2**20); time.sleep(0.5)"
    cost = measure([sys.executable, "-c", SPEAKS.format(busy)], timeout_s=600)
    assert cost.seconds >= 0.5
    assert cost.peak_mib >= 80


@pytest.mark.parametrize(
    ("does", "timeout_s", "reason"),
    [
        ("raise SystemExit('no such thing')", 600, "no such thing"),
        ("import time; time.sleep(1200)", 1, "takes more than 1 s"),
    ],
)
def test_a_search_that_fails_or_takes_too_long_has_a_reason(does: str, timeout_s: int, reason: str) -> None:
    with pytest.raises(UnavailableError, match=reason):
        measure([sys.executable, "-c", SPEAKS.format(does)], timeout_s=timeout_s)


def test_growth_is_fitted_and_what_was_not_run_is_said_to_be_extrapolated() -> None:
    cost = {"processor_seconds": 1.0, "peak_mib": 100.0, "pairs": 7, "load_before": 0.0}
    kinds = {
        "hashes": {
            "1000": {"tools": {"ours": {"seconds": 1.0, **cost}, "flat": {"seconds": 2.0, **cost}}},
            "10000": {"tools": {"ours": {"seconds": 10.0, **cost}, "flat": {"extrapolated_seconds": 200.0}}},
        }
    }
    grown = exponents(kinds)
    assert grown == {"hashes": {"ours": {"seconds": 1.0, "processor_seconds": 0.0}}}
    shown = tables({"reach": {"hashes": 31}, "kinds": kinds, "exponents": grown})
    assert "| 10,000 | flat | about 200 s, extrapolated |" in shown
    assert "| hashes | ours | 1.00 | 0.00 |" in shown


def test_an_image_s_votes_cost_its_share_of_the_filing_and_its_own_asking() -> None:
    tools = {FILING: {"processor_seconds": 100.0}, SOME_ASK: {"processor_seconds": 30.0}}
    assert each_ms(tools, 10 * ASKING) == 20.0
    assert len(spread(10 * ASKING, ASKING)) == ASKING
    assert spread(10 * ASKING, ASKING)[-1] > 9.9 * ASKING
    assert np.array_equal(spread(30, ASKING), np.arange(30))
