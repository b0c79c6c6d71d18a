"""What is scored: the same images and labels for every arm, and every model's predictions of them, in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.stages.evaluate.bootstrap import Estimate, draw_groups, estimate
from pipeline.stages.rebalance.tables import HEADLINE_ARM

HELD_OUT = ["image_id", "split", "group_id", "given", "diagnosis"]  # what no arm may have of its own there


class Model(NamedTuple):
    """One training run."""

    member: str
    arm: str
    seed: int

    @property
    def instance(self) -> str:
        """Name of the run's instance of the stage `train`."""
        return f"{self.member}-{self.arm}-{self.seed}"


@dataclass(frozen=True)
class Truth:
    """Images of one split.

    rows: their places among all images scored, (images,).
    actual: class of each, (images,).
    group_of: number of each one's group, (images,).
    sha256: digest of image_ids and labels.
    """

    rows: NDArray[np.integer]
    actual: NDArray[np.integer]
    group_of: NDArray[np.integer]
    sha256: str

    @property
    def groups(self) -> int:
        """Number of groups, the unit of resampling."""
        return int(self.group_of.max()) + 1


@dataclass(frozen=True)
class OutOfFold:
    """What a member says of its arm's train images, each by a network that never saw the image's group.

    probabilities: (images, classes).
    actual: class of each in the arm, (images,).
    """

    probabilities: NDArray[np.float64]
    actual: NDArray[np.integer]


@dataclass(frozen=True)
class Resampled:
    """A scored set and the resamples of its groups, (resamples, groups), which all models share."""

    truth: Truth
    draws: NDArray[np.integer]

    def estimate(
        self,
        metrics: Callable[..., Mapping[str, NDArray[np.float64]]],
        probabilities: NDArray[np.float64],
        mask: NDArray[np.bool_] | None = None,
    ) -> dict[str, Estimate]:
        """Score predictions on the set and on each resample.

        Args:
            metrics: from probabilities, classes and weights, as `metrics.headline`.
            probabilities: of all images scored, (images, classes).
            mask: which of the set's images count; None: all.

        """
        chosen = slice(None) if mask is None else mask
        rows, actual = self.truth.rows[chosen], self.truth.actual[chosen]
        return estimate(partial(metrics, probabilities[rows], actual), self.truth.group_of[chosen], self.draws)


def resample(sets: Mapping[str, Truth], *, resamples: int, seed: int) -> dict[str, Resampled]:
    """Draw each set's groups; every set from the seed anew, so that its figures do not depend on the others."""
    return {
        name: Resampled(truth, draw_groups(truth.groups, resamples, np.random.default_rng(seed)))
        for name, truth in sets.items()
    }


def headline_arm(arms: Sequence[str]) -> str:
    """Name the arm that stands for the product; where it is not listed, the last."""
    return HEADLINE_ARM if HEADLINE_ARM in arms else arms[-1]


def scored_images(selections: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the validation and test rows, which all arms share, labels included.

    A whole `dvc repro` builds all arms from one reading of the decisions, so they can only differ where an arm was
    built alone (`dvc repro -s rebalance@raw`) or a file was changed by hand.

    Raises:
        UserError: the arms do not share them, or one split is empty.

    """
    parts = {arm: frame[frame["split"] != "train"].reset_index(drop=True) for arm, frame in selections.items()}
    chosen = headline_arm(list(selections))
    frame = parts[chosen]
    for arm, part in parts.items():
        if not part[HELD_OUT].equals(frame[HELD_OUT]):
            raise UserError(f"arms {arm} and {chosen} differ in validation or test: run `dvc repro`")
    for split in ("validation", "test"):
        if not (frame["split"] == split).any():
            raise UserError(f"{split} holds no image: add images, or change split in params.yaml")
    return frame


def truths(images: pd.DataFrame, diagnoses: Sequence[str]) -> dict[str, Truth]:
    """List what is scored: both splits on the audited labels, and test on the labels as given.

    Images given a diagnosis that is out of scope count in the audited sets only.
    """
    scored = {}
    sets = {
        "validation": ("validation", "diagnosis"),
        "test": ("test", "diagnosis"),
        "test_as_given": ("test", "given"),
    }
    for name, (split, column) in sets.items():
        classes = pd.Index(diagnoses).get_indexer(pd.Index(images[column]))
        rows = np.flatnonzero((images["split"] == split) & (classes >= 0))
        part = images.iloc[rows]
        groups = np.unique(part["group_id"], return_inverse=True)[1]
        scored[name] = Truth(rows, classes[rows], groups, digest(part["image_id"], part[column]))
    return scored


def digest(image_ids: pd.Series[str], diagnoses: pd.Series[str]) -> str:
    """Hash a labelled set: figures with one digest were measured on the same images and labels."""
    lines = sorted(f"{image_id},{diagnosis}\n" for image_id, diagnosis in zip(image_ids, diagnoses, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def split_predictions(
    model: Model,
    predicted: pd.DataFrame,
    probabilities: NDArray[np.floating],
    *,
    images: pd.DataFrame,
    selection: pd.DataFrame,
    diagnoses: Sequence[str],
) -> tuple[NDArray[np.float64], OutOfFold | None]:
    """Take apart what a model says of the images that are scored, and of train; None where it has no folds.

    Args:
        model: which.
        predicted: the table Predictions.
        probabilities: of its rows, (rows, classes).
        images: from `scored_images`.
        selection: of the model's arm.
        diagnoses: the classes in order.

    Raises:
        UserError: the model was trained for other images or classes.

    """
    of_train = (predicted["split"] == "train").to_numpy()
    scored = align(model, predicted[~of_train], probabilities[~of_train], images, len(diagnoses))
    if not of_train.any():
        return scored, None
    train = selection[selection["split"] == "train"]
    learnt = align(model, predicted[of_train], probabilities[of_train], train, len(diagnoses))
    return scored, OutOfFold(learnt, pd.Index(diagnoses).get_indexer(pd.Index(train["diagnosis"])))


def align(
    model: Model, predicted: pd.DataFrame, probabilities: NDArray[np.floating], images: pd.DataFrame, classes: int
) -> NDArray[np.float64]:
    """Bring a model's probabilities into the order of `images`.

    Raises:
        UserError: the model was trained for other images or classes.

    """
    place = pd.Index(predicted["image_id"]).get_indexer(pd.Index(images["image_id"]))
    if (place < 0).any() or len(predicted) != len(images) or probabilities.shape[1] != classes:
        raise UserError(f"the predictions of {model.instance} are of other images or classes: run `dvc repro`")
    aligned: NDArray[np.float64] = probabilities[place].astype(np.float64)
    return aligned
