from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.duplicates import finders
from bench.duplicates.finders import FINDERS, PEER_SCRIPT, best, by_distance
from bench.duplicates.ours import evidence_score
from bench.duplicates.peers import PEERS as SCRIPTED
from bench.environments import PEERS, UnavailableError, interpreter, last_line


def test_pairs_are_ranked_by_the_nearest_orientation() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (30, 4), dtype=np.uint8)
    queries = np.stack([keys, rng.integers(0, 256, (30, 4), dtype=np.uint8)], axis=1)
    found = by_distance(queries, keys)
    assert len(found) == 30 * 29 / 2
    assert found["score"].is_monotonic_decreasing
    for a, b, score in found.sample(40, random_state=0).itertuples(index=False):
        pairs = [(queries[a, i], keys[b]) for i in (0, 1)] + [(queries[b, i], keys[a]) for i in (0, 1)]
        assert -score == min(int(np.bitwise_count(x ^ y).sum()) for x, y in pairs)


def test_a_list_ends_before_the_ties_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finders, "LIMIT", 3)
    scores = np.array([[0, 5, 4, 3], [5, 0, 3, 3], [4, 3, 0, 1], [3, 3, 1, 0]], np.float32)
    assert best(scores)["score"].tolist() == [5, 4]
    monkeypatch.setattr(finders, "LIMIT", 5)
    assert best(scores)["score"].tolist() == [5, 4, 3, 3, 3]


def test_similar_vectors_come_first() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    found = best(vectors @ vectors.T)
    assert list(zip(found["a"], found["b"], strict=True)) == [(1, 2), (0, 2), (0, 1)]


def test_stronger_evidence_outranks_any_number_of_inliers() -> None:
    rows = [
        ("geometry", "weak", 300, 0.99),
        ("geometry", "same_lesion", 9, 0.6),
        ("geometry", "same_lesion", 30, 0.8),
        ("geometry", "copy", 12, 0.7),
        ("pixels", "copy", 0, 1.0),
        ("bytes", "copy", 0, 1.0),
    ]
    pairs = pd.DataFrame(rows, columns=["evidence", "relation", "inliers", "correlation"])
    assert evidence_score(pairs).is_monotonic_increasing
    unproven = pd.DataFrame({"evidence": [None], "relation": [None], "inliers": [np.nan], "correlation": [np.nan]})
    assert evidence_score(unproven).isna().all()


def test_every_peer_with_an_environment_has_its_script() -> None:
    scripts = [Path(source) for finder in FINDERS.values() for source in finder.code if isinstance(source, Path)]
    assert set(scripts) == {PEER_SCRIPT}
    assert PEER_SCRIPT.exists()
    assert set(SCRIPTED) == {*PEERS, "fiftyone_brain"}


def test_a_peer_that_cannot_be_installed_is_unavailable_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"cannot be installed here: .*nowhere"):
        interpreter("peer", ["/nowhere/peer-1.0-py3-none-any.whl"], root=tmp_path)


def test_the_reason_is_the_last_line_that_says_something() -> None:
    assert last_line("Traceback\n  ...\nOSError: no weights\n\n") == "OSError: no weights"
    assert last_line("") == "no message"
