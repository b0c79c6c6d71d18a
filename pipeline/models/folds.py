"""Out-of-fold predictions of a fine-tuned member: k-fold cross-validation whose folds no group crosses.

A fold's network learns from nine tenths of the other folds' groups; the last tenth says at which epoch to stop. So no
label of the group that is judged, and none of validation or test, has any part in what it says of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.folds import assign_folds, judged_by
from pipeline.core.params import Device
from pipeline.core.shards import Pixels
from pipeline.models import members
from pipeline.models.batches import AUGMENTATIONS, ImageSet, load_images, stored_side
from pipeline.models.devices import prepare
from pipeline.models.params import Member
from pipeline.models.trainable import Part, Targets, train

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STOPPING_FOLDS = 10  # one of which says when to stop
LEAST_IMAGES = 2  # or batch normalisation has nothing to normalise


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


def show(pixels: Pixels, member: Member, *, weights: Path | None, device: Device, scratch: Path) -> Shown:
    """Decode all images once, in both sizes, as the member wants them.

    Raises:
        UserError: the member is unknown, its weights are of another, or the device is not there.

    """
    place = prepare(device)
    network = members.build(member.backbone, classes=0, side_pixels=member.side, weights=weights, seed=0)
    augmentation = AUGMENTATIONS[member.augmentation]
    stored_as = []
    for label, applied in (("to learn from", augmentation), ("to judge", None)):
        side = stored_side(member.side, applied)
        stored = load_images(pixels, side, network.preprocessing, scratch=scratch, label=label)
        stored_as.append(ImageSet(stored, member.side, network.preprocessing, applied, place))
    return Shown(*stored_as)


def out_of_fold(
    member: Member, shown: Shown, labels: Labels, *, folds: int, seed: int, weights: Path | None, scratch: Path
) -> Floats:
    """Train a network for each fold, and collect what each makes of the images that it never saw.

    Args:
        member: architecture and recipe.
        shown: images.
        labels: of the same rows.
        folds: how many, at most.
        seed: of everything random.
        weights: file with the backbone's weights, or None.
        scratch: folder that keeps finished folds, and the last epoch of an unfinished one.

    Returns:
        (n, classes) float64, rows sum to 1.

    Raises:
        UserError: the network is unknown, its weights are of another, or training diverges.

    """
    held_by = assign_folds(labels.given, labels.group, labels.learnt, count=folds, seed=seed)
    return collect(
        [
            fit_fold(member, shown, labels, held_by, fold, seed=seed, weights=weights, scratch=scratch)
            for fold in tqdm(range(held_by.max() + 1), desc="folds", unit="fold", disable=None)
        ],
        held_by,
    )


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
    member: Member,
    shown: Shown,
    labels: Labels,
    held_by: Integers,
    fold: int,
    *,
    seed: int,
    weights: Path | None,
    scratch: Path,
) -> Floats:
    """Train one fold's network, unless `scratch` holds what it said; see `out_of_fold`.

    Args:
        member: architecture and recipe.
        shown: images.
        labels: of the same rows.
        held_by: (n,) from `assign_folds`.
        fold: which.
        seed: of everything random.
        weights: file with the backbone's weights, or None.
        scratch: folder.

    Returns:
        (rows of `judged_by`, classes).

    Raises:
        UserError: the fold leaves too few images to learn from; or as `out_of_fold`.

    """
    kept = scratch / f"fold-{fold}.npy"
    if not kept.exists():
        others = labels.learnt & (held_by != fold)
        stopping = assign_folds(labels.given, labels.group, others, count=STOPPING_FOLDS, seed=seed) == 0
        learnt = np.flatnonzero(others & ~stopping)
        if len(learnt) < LEAST_IMAGES:
            raise UserError(
                f"a network would learn from {len(learnt)} images in fold {fold + 1}, and needs {LEAST_IMAGES}: add "
                "images, or ask for fewer folds"
            )
        parts = {
            "train": _part(shown.learn, labels, learnt),
            "validation": _part(shown.judge, labels, np.flatnonzero(others & stopping)),
            "test": _part(shown.judge, labels, np.flatnonzero(judged_by(fold, held_by))),
        }
        network = members.build(
            member.backbone, classes=labels.classes, side_pixels=member.side, weights=weights, seed=seed
        )
        network.module.to(shown.learn.device)
        trained = train(
            network.module, parts, member, "cross_entropy", seed=seed, checkpoint=scratch / f"fold-{fold}.pt"
        )
        partial = scratch / f"fold-{fold}.partial.npy"
        np.save(partial, trained.probabilities["test"])
        partial.replace(kept)
    predictions: Floats = np.load(kept)
    return predictions


def _part(images: ImageSet, labels: Labels, rows: Integers) -> Part:
    weight = labels.weight[rows]
    return Part(images.take(rows), Targets.of_classes(labels.given[rows], labels.classes, weight / weight.mean()))
