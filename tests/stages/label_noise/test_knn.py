from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core import vector_search
from pipeline.stages.label_noise.knn import NONE, knn_embedding, knn_pred_probs, nearest_neighbours, nearest_of_class
from tests.stages.label_noise.planted import world

DATASET = world(4, lesions=500).dataset


def test_neighbours_are_those_of_a_full_search_without_the_own_group() -> None:
    vectors, group = DATASET.vectors, DATASET.group
    found, cosines = nearest_neighbours(vectors, vectors, query_group=group, reference_group=group, count=4)
    similar = vectors @ vectors.T
    similar[group[:, None] == group] = -np.inf
    assert np.allclose(cosines, -np.sort(-similar, axis=1)[:, :4], atol=1e-6)
    assert np.allclose(np.take_along_axis(similar, found, axis=1), cosines, atol=1e-6)


def test_there_may_be_fewer_than_asked_for() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found, cosines = nearest_neighbours(
        vectors, vectors[:2], query_group=np.arange(3), reference_group=np.arange(2), count=3
    )
    assert found.tolist() == [[1, NONE, NONE], [0, NONE, NONE], [0, 1, NONE]]
    assert np.isneginf(cosines[:, 2]).all()


def test_examples_are_of_the_class_asked_for_and_of_other_groups() -> None:
    references = np.flatnonzero(DATASET.reference)
    wanted = np.roll(DATASET.given, 1)
    found = nearest_of_class(
        DATASET.vectors,
        wanted,
        group=DATASET.group,
        references=references,
        reference_class=DATASET.given[references],
        count=3,
    )
    for row, examples in enumerate(found):
        assert len(examples) == 3
        assert set(DATASET.given[examples]) == {wanted[row]}
        assert DATASET.group[row] not in DATASET.group[examples]
        assert DATASET.reference[examples].all()


def test_a_class_without_references_has_no_examples() -> None:
    found = nearest_of_class(
        DATASET.vectors[:3],
        np.array([0, 1, 1]),
        group=np.arange(3),
        references=np.array([1, 2]),
        reference_class=np.array([1, 1]),
        count=3,
    )
    assert found == [[], [2], [1]]


def test_a_diagnosis_is_as_likely_as_its_nearest_image_is_near() -> None:
    pred_probs = knn_pred_probs(DATASET, DATASET.vectors, len(DATASET.given))
    distances = 1 - DATASET.vectors @ DATASET.vectors.T
    distances[:, ~DATASET.reference] = np.inf
    distances[DATASET.group[:, None] == DATASET.group] = np.inf
    of_class = np.stack([distances[:, DATASET.given == class_].min(axis=1) for class_ in range(5)], axis=1)
    assert np.allclose(pred_probs, of_class**-2 / (of_class**-2).sum(axis=1, keepdims=True), atol=1e-4)
    few = knn_pred_probs(DATASET, DATASET.vectors, 3)
    capped = np.minimum(of_class, np.sort(distances, axis=1)[:, 2:3])
    assert np.allclose(few, capped**-2 / (capped**-2).sum(axis=1, keepdims=True), atol=1e-4)


def test_no_label_of_the_own_group_and_none_outside_train_has_a_say() -> None:
    before = knn_pred_probs(DATASET, DATASET.vectors, 10)
    for held in (DATASET.group == DATASET.group[DATASET.reference][0], ~DATASET.reference):
        lied = np.where(held, (DATASET.given + 1) % 5, DATASET.given)
        after = knn_pred_probs(replace(DATASET, given=lied), DATASET.vectors, 10)
        assert np.array_equal(before[held], after[held])
        assert np.array_equal(before, after) == (not DATASET.reference[held].any()), "those of others in train have"


def test_where_there_is_nobody_to_ask_the_nearest_say_nothing() -> None:
    alone = replace(DATASET, group=np.zeros_like(DATASET.group))
    assert np.allclose(knn_pred_probs(alone, alone.vectors, 4), 0.2)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index from 300 vectors on, in cells of 16, of which 8 are probed."""
    for name, value in (("EXACT", 300), ("CELL", 16), ("PROBES", 8)):
        monkeypatch.setattr(vector_search, name, value)


@pytest.mark.usefixtures("few_are_many")
def test_among_many_nearly_all_neighbours_are_found_and_none_of_the_own_group() -> None:
    vectors, group = DATASET.vectors, DATASET.group
    found, cosines = nearest_neighbours(vectors, vectors, query_group=group, reference_group=group, count=4)
    assert (group[found] != group[:, None]).all()
    similar = vectors @ vectors.T
    assert np.abs(np.take_along_axis(similar, found, axis=1) - cosines).max() < 0.002
    similar[group[:, None] == group] = -np.inf
    exact = np.argsort(-similar, axis=1)[:, :4]
    assert np.mean([len(set(a) & set(b)) / 4 for a, b in zip(exact.tolist(), found.tolist(), strict=True)]) > 0.9


@pytest.mark.usefixtures("few_are_many")
def test_a_large_group_hides_no_neighbour_and_there_may_be_none() -> None:
    vectors = DATASET.vectors[:400]
    group = np.where(np.arange(400) < 395, 0, np.arange(400))
    found, _ = nearest_neighbours(vectors, vectors, query_group=group, reference_group=group, count=3)
    similar = vectors[:395] @ vectors[395:].T
    assert np.array_equal(found[:395], 395 + np.argsort(-similar, axis=1, kind="stable")[:, :3])
    alone, cosines = nearest_neighbours(
        vectors, vectors, query_group=np.zeros(400, int), reference_group=np.zeros(400, int), count=2
    )
    assert (alone == NONE).all()
    assert np.isneginf(cosines).all()


def test_views_weigh_the_same_in_what_is_near() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.normal(0, 1, (60, 12)).astype(np.float32) for _ in range(2))
    reference = np.arange(60) < 50
    embedding, louder = (knn_embedding(views, reference, 8) for views in ((one, other), (one, 1000 * other)))
    assert embedding.shape == (60, 16)
    assert np.allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    assert np.allclose(embedding @ embedding.T, louder @ louder.T, atol=1e-3)
