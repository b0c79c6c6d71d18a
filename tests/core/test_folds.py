from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.folds import EVERY_FOLD, assign_folds

RNG = np.random.default_rng(0)
GROUP = np.repeat(np.arange(60), RNG.integers(1, 5, 60))
GIVEN = (np.arange(60) % 3)[GROUP]
LEARNT = (GROUP % 6 != 0) & (RNG.random(len(GROUP)) < 0.8)


def folds(count: int = 5, seed: int = 0) -> np.ndarray:
    return assign_folds(GIVEN, GROUP, LEARNT, count=count, seed=seed)


def test_a_group_lies_in_one_fold_whether_all_of_it_is_learnt_from_or_not() -> None:
    for group in np.unique(GROUP):
        assert len(np.unique(folds()[group == GROUP])) == 1


def test_a_group_that_nothing_is_learnt_from_is_held_by_no_fold() -> None:
    unlearnt = ~np.isin(GROUP, GROUP[LEARNT])
    assert unlearnt.any()
    assert np.array_equal(folds() == EVERY_FOLD, unlearnt)


def test_every_fold_holds_about_its_share_of_every_class() -> None:
    shares = [[np.mean(folds()[LEARNT & (k == GIVEN)] == fold) for k in range(3)] for fold in range(5)]
    assert np.all(np.abs(np.array(shares) - 0.2) < 0.12)


def test_the_seed_decides() -> None:
    assert np.array_equal(folds(), folds())
    assert not np.array_equal(folds(), folds(seed=1))


def test_few_groups_make_few_folds_and_one_is_refused() -> None:
    few = LEARNT & (GROUP < 4)
    assert assign_folds(GIVEN, GROUP, few, count=5, seed=0).max() == len(np.unique(GROUP[few])) - 1
    with pytest.raises(UserError, match="train holds 1 groups in scope, and judging labels takes two"):
        assign_folds(GIVEN, GROUP, LEARNT & (GROUP == 1), count=5, seed=0)
    with pytest.raises(UserError, match="train holds 0 groups"):
        assign_folds(GIVEN, GROUP, np.zeros(len(GROUP), bool), count=5, seed=0)


def test_labels_of_one_image_each_need_no_stratum() -> None:
    group = np.arange(6)
    found = assign_folds(group, group, np.ones(6, bool), count=3, seed=0)
    assert sorted(np.unique(found)) == [0, 1]
