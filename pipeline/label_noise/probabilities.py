"""What each image shows, judged by probes that never saw it, its lesion or its copies.

Train is judged out of fold within train, folds by group; validation and test by the same probes, none of which saw
them. So no label outside train has any influence on a train image, and no label any on what the probes say of its own
group.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from pipeline.core.errors import UserError
from pipeline.label_noise.calibration import calibrate, sharpen
from pipeline.label_noise.labelled import Labelled, by_lesion
from pipeline.label_noise.params import Noise, Probe
from pipeline.label_noise.probe import fit_probe, uniform_noise

Array = np.ndarray[Any, Any]

EVERY_PROBE = -1


@dataclass(frozen=True)
class Beliefs:
    """What the probes make of the pictures, pooled over the images of a lesion; its own labels have no part in it.

    plain: (n, classes), by probes that take the labels of others at their word: what cleanlab expects.
    corrected: (n, classes), by probes that allow for wrong labels, calibrated.
    noise: (classes, classes), P(given | true), estimated on train.
    judged: (n,) false where train has too few groups of the given diagnosis for an opinion.
    """

    plain: Array
    corrected: Array
    noise: Array
    judged: Array


def believe(labelled: Labelled, params: Probe, noise: Noise) -> Beliefs:
    """Fit all probes and collect out-of-fold probabilities.

    Raises:
        UserError: train holds fewer than two groups.

    """
    folds = assign_folds(labelled, params)
    # One thread: products this narrow gain nothing from more, and the result does not depend on the number of cores.
    with threadpool_limits(limits=1):
        plain = by_lesion(out_of_fold(labelled, folds, params=params, noise=None), labelled.lesion)
        modest = by_lesion(out_of_fold(labelled, folds, params=params, noise=noise), labelled.lesion)
    pairs = np.unique(np.column_stack([labelled.given, labelled.group])[labelled.voter], axis=0)
    groups = np.bincount(pairs[:, 0], minlength=len(labelled.classes))
    judged = groups[labelled.given] >= params.folds
    known = labelled.voter & judged
    if not known.any():
        return Beliefs(plain, modest, uniform_noise(len(labelled.classes), noise.start), judged)
    exponent, matrix = calibrate(
        modest[known], labelled.given[known], count=lesion_shares(labelled)[known], noise=noise
    )
    return Beliefs(plain, sharpen(modest, exponent), matrix, judged)


def assign_folds(labelled: Labelled, params: Probe) -> Array:
    """Assign each image, in each repeat, the fold that holds it out; `EVERY_PROBE` where no probe sees its group.

    Returns:
        (repeats, n) fold numbers; equal within a group, removed copies included.

    Raises:
        UserError: train holds fewer than two groups.

    """
    voters = np.flatnonzero(labelled.voter)
    given, group = labelled.given[voters], labelled.group[voters]
    groups = len(np.unique(group))
    if groups < 2:  # noqa: PLR2004 - one to learn from, one to judge
        raise UserError(
            f"train holds {groups} groups in scope, and judging labels takes two: add images, or widen classes"
        )
    count = max(2, min(params.folds, groups, int(np.bincount(given).max())))
    found = np.full((params.repeats, len(labelled.given)), EVERY_PROBE)
    for repeat in range(params.repeats):
        if np.bincount(given).max() < count:  # one image a class: there is nothing to stratify
            given = np.zeros_like(given)
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=params.seed + repeat)
        by_group = np.full(labelled.group.max() + 1, EVERY_PROBE)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for fold, (_, held) in enumerate(splitter.split(given, given, group)):
                by_group[group[held]] = fold
        found[repeat] = by_group[labelled.group]
    return found


def out_of_fold(labelled: Labelled, folds: Array, *, params: Probe, noise: Noise | None) -> Array:
    """Fit one probe a fold and repeat; average what each image's probes say: (n, classes), rows sum to 1."""
    classes, count = len(labelled.classes), lesion_shares(labelled)
    total, votes = np.zeros((len(labelled.given), classes)), np.zeros(len(labelled.given))
    for held_by in folds:
        for fold in range(held_by.max() + 1):
            learn, judge = labelled.voter & (held_by != fold), (held_by == fold) | (held_by == EVERY_PROBE)
            probe = fit_probe(
                labelled.vectors[learn],
                labelled.given[learn],
                count=count[learn],
                classes=classes,
                components=params.components,
                c=params.c,
                noise=noise,
            )
            total[judge] += probe.predict(labelled.vectors[judge])
            votes[judge] += 1
    return total / votes[:, None]


def lesion_shares(labelled: Labelled) -> Array:
    """Weigh images so that each lesion counts once: 1 / its images that vote, (n,); 0 where none does."""
    voting = np.bincount(labelled.lesion, labelled.voter)[labelled.lesion]
    return np.divide(1.0, voting, out=np.zeros(len(voting)), where=voting > 0)
