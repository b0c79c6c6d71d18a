"""Out-of-fold predictions of a fine-tuned member: k-fold cross-validation whose folds no group crosses.

A fold's network learns from nine tenths of the other folds' groups; the last tenth says at which epoch to stop. So no
label of the group that is judged, and none of validation or test, has any part in what it says of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.core.folds import assign_folds, judged_by
from pipeline.core.params import Device
from pipeline.core.shards import Pixels
from pipeline.models import members
from pipeline.models.batches import AUGMENTATIONS, ImageSet, load_images, stored_side
from pipeline.models.devices import prepare
from pipeline.models.params import FineTuned, Head
from pipeline.models.trainable import Part, Plan, Targets, check_learnt, train

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STOPPING_FOLDS = 10  # one of which says when to stop


@dataclass(frozen=True)
class Labels:
    """Labels of images, row by row.

    given: (n,) class numbers.
    classes: how many there are.
    group: (n,) group numbers.
    learnt: (n,) in train, and no copy of another image.
    weight: (n,) in the loss: each lesion counts once.
    """

    given: Integers
    classes: int
    group: Integers
    learnt: NDArray[np.bool_]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """Images of the same rows, larger and augmented to learn from, as they are to be judged."""

    learn: ImageSet
    judge: ImageSet


def show(pixels: Pixels, member: FineTuned | Head, *, weights: Path | None, device: Device, scratch: Path) -> Shown:
    """Decode all images once, in both sizes, as the member wants them.

    Raises:
        UserError: the member is unknown, its weights are of another, or the device is not there.

    """
    place = prepare(device)
    network = members.build(member.backbone, classes=0, side_pixels=member.side_pixels, weights=weights, seed=0)
    augmentation = AUGMENTATIONS[member.augmentation]
    stored_as = []
    for label, applied in (("to learn from", augmentation), ("to judge", None)):
        side = stored_side(member.side_pixels, applied)
        stored = load_images(pixels, side, network.preprocessing, scratch=scratch, label=label)
        stored_as.append(ImageSet(stored, member.side_pixels, network.preprocessing, applied, place))
    return Shown(*stored_as)


def collect(of_folds: Sequence[Floats], held_by: Integers) -> Floats:
    """Bring what each fold's network says into the order of the images; the mean where several judge one.

    Args:
        of_folds: of each fold (rows of `judged_by`, classes).
        held_by: (n,) from `assign_folds`.

    Returns:
        (n, classes) float64.

    """
    summed, votes = np.zeros((len(held_by), of_folds[0].shape[1])), np.zeros(len(held_by))
    for fold, said in enumerate(of_folds):
        judged = judged_by(fold, held_by)
        summed[judged] += said
        votes[judged] += 1
    return summed / votes[:, None]


def fit_fold(
    member: FineTuned | Head,
    shown: Shown,
    labels: Labels,
    held_by: Integers,
    fold: int,
    *,
    seed: int,
    weights: Path | None,
    scratch: Path,
) -> Floats:
    """Train one fold's network, unless `scratch` holds what it said of the images that it never saw.

    Args:
        member: architecture and recipe.
        shown: images.
        labels: of the same rows.
        held_by: (n,) from `assign_folds`.
        fold: which.
        seed: of everything random.
        weights: file with the backbone's weights, or None.
        scratch: folder that keeps the last epoch of an unfinished fold, and of a finished one what it said alone.

    Returns:
        (rows of `judged_by`, classes) float64, rows sum to 1.

    Raises:
        UserError: the fold leaves too few images to learn from, the network is unknown, its weights are of another, or
            training diverges.

    """
    kept = scratch / f"fold-{fold}.npy"
    if not kept.exists():
        others = labels.learnt & (held_by != fold)
        stopping = assign_folds(labels.given, labels.group, others, count=STOPPING_FOLDS, seed=seed) == 0
        learnt = np.flatnonzero(others & ~stopping)
        check_learnt(len(learnt), fold, "ask for fewer folds")
        parts = {
            "train": _part(shown.learn, labels, learnt),
            "validation": _part(shown.judge, labels, np.flatnonzero(others & stopping)),
            "test": _part(shown.judge, labels, np.flatnonzero(judged_by(fold, held_by))),
        }

        def fresh() -> nn.Module:
            network = members.build(
                member.backbone, classes=labels.classes, side_pixels=member.side_pixels, weights=weights, seed=seed
            )
            return network.module.to(shown.learn.device)

        unfinished = scratch / f"fold-{fold}"
        unfinished.mkdir(exist_ok=True)
        one = member.model_copy(update={"folds": 1})
        trained = train(fresh, parts, Plan(one, "cross_entropy", seed, unfinished))
        partial = scratch / f"fold-{fold}.partial.npy"
        np.save(partial, trained.probabilities["test"])
        partial.replace(kept)
        shutil.rmtree(unfinished)
    predictions: Floats = np.load(kept)
    return predictions


def _part(images: ImageSet, labels: Labels, rows: Integers) -> Part:
    weight = labels.weight[rows]
    return Part(images.take(rows), Targets.of_classes(labels.given[rows], labels.classes, weight / weight.mean()))
