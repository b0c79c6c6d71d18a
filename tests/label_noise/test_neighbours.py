from __future__ import annotations

import numpy as np

from pipeline.label_noise.neighbours import NONE, nearest, nearest_of_class
from tests.label_noise.planted import world

LABELLED = world(4, lesions=500).labelled


def test_neighbours_are_those_of_a_full_search_without_the_own_group() -> None:
    vectors, group = LABELLED.vectors, LABELLED.group
    found, cosines = nearest(vectors, vectors, query_group=group, reference_group=group, count=4)
    similar = vectors @ vectors.T
    similar[group[:, None] == group] = -np.inf
    assert np.allclose(cosines, -np.sort(-similar, axis=1)[:, :4], atol=1e-6)
    assert np.allclose(np.take_along_axis(similar, found, axis=1), cosines, atol=1e-6)


def test_there_may_be_fewer_than_asked_for() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found, cosines = nearest(vectors, vectors[:2], query_group=np.arange(3), reference_group=np.arange(2), count=3)
    assert found.tolist() == [[1, NONE, NONE], [0, NONE, NONE], [0, 1, NONE]]
    assert np.isneginf(cosines[:, 2]).all()


def test_examples_are_of_the_class_asked_for_and_of_other_groups() -> None:
    references = np.flatnonzero(LABELLED.voter)
    wanted = np.roll(LABELLED.given, 1)
    found = nearest_of_class(
        LABELLED.vectors,
        wanted,
        group=LABELLED.group,
        references=references,
        reference_class=LABELLED.given[references],
        count=3,
    )
    for row, examples in enumerate(found):
        assert len(examples) == 3
        assert set(LABELLED.given[examples]) == {wanted[row]}
        assert LABELLED.group[row] not in LABELLED.group[examples]
        assert LABELLED.voter[examples].all()


def test_a_class_without_references_has_no_examples() -> None:
    found = nearest_of_class(
        LABELLED.vectors[:3],
        np.array([0, 1, 1]),
        group=np.arange(3),
        references=np.array([1, 2]),
        reference_class=np.array([1, 1]),
        count=3,
    )
    assert found == [[], [2], [1]]
