"""The cost of leakage: the same test images, their lesions' other images once in train and once not.

Images, not lesions, are dealt to K folds, as a split without lesion ids would; each fold is scored by a classifier that
may learn from all other images, and by one that learns from no group of the fold. So that nothing else differs, the
first does without as many other images of the same diagnoses, drawn at random. Validation is hashed by image, or by
group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from bench.gain.plan import Builder, Cell, Project, Terms, hashed, published

BY_IMAGE, BY_LESION = "image level", "lesion level"


def sets_of(terms: Terms, cell: Cell, arms: Sequence[str]) -> tuple[Mapping[str, Builder], Mapping[str, Any]]:
    """Build the training sets of a fold; copies stay where they are, and labels are as published."""
    project = terms.project
    split = split_images(project, folds=terms.folds, seed=cell.seed, fold=cell.fold)
    facts = {arm: {"train": int((split[arm] == "train").sum())} for arm in arms}
    shared = np.isin(project.group_ids, project.group_ids[split[BY_IMAGE] == "train"])
    facts["test"] = {
        "images": int((split[BY_IMAGE] == "test").sum()),
        "with a lesion in train": int((shared & (split[BY_IMAGE] == "test")).sum()),
    }
    return {arm: published(project, split[arm]) for arm in arms}, facts


def split_images(project: Project, *, folds: int, seed: int, fold: int) -> dict[str, NDArray[np.str_]]:
    """Say where each image lies, by arm: (n,); "" for an image that is left out."""
    given, names = project.labelled.given, project.labelled.image_id
    dealt = StratifiedKFold(folds, shuffle=True, random_state=seed)
    _, test = list(dealt.split(given, given))[fold]
    held = np.zeros(len(given), dtype=bool)
    held[test] = True
    relatives = ~held & np.isin(project.group_ids, project.group_ids[held])
    rng = np.random.default_rng([seed, fold])
    others = np.zeros_like(held)
    for class_ in np.unique(given[relatives]):
        pool, count = np.flatnonzero(~held & (given == class_)), int((relatives & (given == class_)).sum())
        others[rng.choice(pool, count, replace=False)] = True
    made = {}
    for arm, units, left_out in ((BY_IMAGE, names, others), (BY_LESION, project.group_ids, relatives)):
        split = hashed(units, salt=f"{seed} {fold}")
        split[held], split[left_out] = "test", ""
        made[arm] = split
    return made
