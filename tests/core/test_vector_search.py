from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core import vector_search
from pipeline.core.vector_search import searcher
from pipeline.stages.dedup.candidates.propose import nearest_embeddings


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def images(count: int, *, copies: int) -> NDArray[np.float32]:
    """Vectors that vary along some axes much more than along others, as networks' do; the last are near the first."""
    rng = np.random.default_rng(0)
    spread = 1 / np.sqrt(1 + np.arange(96))
    drawn = 2 + rng.normal(size=(count, 96)) * spread
    drawn[count - copies :] = drawn[:copies] + 0.05 * rng.normal(size=(copies, 96)) * spread
    return unit(drawn)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.float32]:
    """So many that they are indexed: fewer than in earnest, with fewer cells and fewer of them probed."""
    monkeypatch.setattr(vector_search, "EXACT", 4000)
    monkeypatch.setattr(vector_search, "CELL", 64)
    monkeypatch.setattr(vector_search, "PROBES", 32)
    return images(6000, copies=200)


def test_the_nearest_embeddings_are_paired_once_and_never_with_themselves() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    vectors[7] = vectors[3]  # the image itself may then not come first
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T - 2 * np.eye(40)
    expected = {(min(i, j), max(i, j)) for i in range(40) for j in np.argsort(-cosine[i])[:3].tolist()}
    assert {(a, b) for a, b in nearest_embeddings(vectors, neighbours=3).tolist()} >= expected
    assert [3, 7] in nearest_embeddings(vectors, neighbours=1).tolist()
    assert nearest_embeddings(vectors[:1], neighbours=3).shape == (0, 2)


def test_among_many_nearly_all_of_the_nearest_are_found(many: NDArray[np.float32]) -> None:
    sample = np.arange(0, len(many), 10)
    exact = np.argsort(-many[sample] @ many.T, axis=1)[:, 1:11]
    cosines, hits = searcher(many)(many[sample], 11)
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), hits.tolist(), strict=True)])
    assert found > 0.97
    true = np.take_along_axis(many[sample] @ many.T, hits, axis=1)
    assert np.abs(cosines - true).max() < 0.002
    assert (np.diff(cosines, axis=1) <= 0).all()


def test_among_many_copies_are_paired(many: NDArray[np.float32]) -> None:
    pairs = nearest_embeddings(many, neighbours=4)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    planted = {(i, len(many) - 200 + i) for i in range(200)}
    assert len(planted - set(map(tuple, pairs.tolist()))) <= 2


def test_a_vector_count_just_above_the_exact_limit_and_a_narrow_vector_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_search, "EXACT", 2000)
    vectors = images(2001, copies=50)[:, :12]
    vectors = unit(np.ascontiguousarray(vectors))
    cosines, hits = searcher(vectors)(vectors[:50], 3)
    assert hits.shape == cosines.shape == (50, 3)
    assert (hits[:, 0] == np.arange(50)).mean() > 0.9
