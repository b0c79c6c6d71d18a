"""Folds that no group crosses: what is learnt from never includes the lesion, or a copy, of what is judged."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.core.errors import UserError

EVERY_FOLD = -1


def judged_by(fold: int, held_by: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Say which images a fold's model predicts, (n,): those that it holds out, and those that no fold holds."""
    mask: NDArray[np.bool_] = (held_by == fold) | (held_by == EVERY_FOLD)
    return mask


def assign_folds(
    given: NDArray[np.intp], group: NDArray[np.intp], learnt: NDArray[np.bool_], *, count: int, seed: int
) -> NDArray[np.intp]:
    """Assign each image the fold that holds it out, stratified by label among the images that are learnt from.

    Fewer folds are made where there are fewer groups, or fewer images of the most frequent label.

    Args:
        given: (n,) class numbers.
        group: (n,) group numbers.
        learnt: (n,) what models learn from.
        count: folds.
        seed: of the shuffle.

    Returns:
        (n,) fold numbers, equal within a group; `EVERY_FOLD` where nothing of the group is learnt from.

    Raises:
        UserError: fewer than two groups are learnt from.

    """
    labels, groups = given[learnt], group[learnt]
    distinct, most = len(np.unique(groups)), int(np.bincount(labels, minlength=1).max())
    if distinct < 2:  # noqa: PLR2004 - one to learn from, one to judge
        raise UserError(
            f"train holds {distinct} groups in scope, and judging labels takes two: add images, or widen classes"
        )
    count = max(2, min(count, distinct, most))
    if most < count:  # one image a class: there is nothing to stratify
        labels = np.zeros_like(labels)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    by_group = np.full(group.max() + 1, EVERY_FOLD)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held) in enumerate(splitter.split(labels, labels, groups)):
            by_group[groups[held]] = fold
    return by_group[group]
