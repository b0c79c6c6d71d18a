"""One member's training, from the rows of an arm to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.core.grouping import SPLITS
from pipeline.core.params import Device
from pipeline.core.shards import Pixels
from pipeline.models import members
from pipeline.models.batches import AUGMENTATIONS, Augmentation, ImageSet, load_images, stored_side
from pipeline.models.devices import prepare
from pipeline.models.fit import best_epoch
from pipeline.models.params import FineTuned, Head, LossName, Member, Probe
from pipeline.models.trainable import AS_JUDGED, Part, Plan, Targets, Trained, train, train_probe

LEAST = {"train": 2, "validation": 1, "test": 1}  # images to learn from, to stop by and to score


@dataclass(frozen=True)
class Task:
    """What is to be learnt of an arm.

    selection: rows of the table Selection.
    target: (rows, classes) its vector `target`.
    diagnoses: the classes, in the order of every probability vector.
    loss: which is minimised.
    seed: of everything random.
    scratch: folder for checkpoints.
    """

    selection: pd.DataFrame
    target: NDArray[np.float32]
    diagnoses: Sequence[str]
    loss: LossName
    seed: int
    scratch: Path

    def __post_init__(self) -> None:
        """Hold the selection against the classes.

        Raises:
            UserError: a diagnosis is not among them, or there is nothing to learn from or to stop by.

        """
        unknown = set(self.selection["diagnosis"]) - set(self.diagnoses)
        if unknown or self.target.shape[1] != len(self.diagnoses):
            raise UserError(
                f"the selection holds {sorted(unknown) or f'{self.target.shape[1]} diagnoses'}, which classes in "
                "params.yaml leaves out: run `dvc repro rebalance`"
            )
        for split, least in LEAST.items():
            count = int((self.selection["split"] == split).sum())
            if count < least:
                raise UserError(
                    f"{split} holds {count} images and needs {least}: add images, or change split in params.yaml"
                )

    def plan(self, member: Member) -> Plan:
        """Say how the member is trained on train's images."""
        groups = self.selection["group_id"].to_numpy()[self.rows("train")]
        return Plan(member, self.loss, self.seed, self.scratch, np.unique(groups, return_inverse=True)[1])

    def rows(self, split: str) -> NDArray[np.intp]:
        """Return the positions of a split's rows."""
        return np.flatnonzero(self.selection["split"] == split)

    def targets(self, split: str) -> Targets:
        """Return what is to be learnt of a split's images."""
        weight, draws = (self.selection[name].to_numpy(np.float32) for name in ("weight", "draws"))
        return Targets(self.target, weight, draws).take(self.rows(split))


def train_member(
    member: FineTuned | Head, task: Task, pixels: Pixels, *, weights: Path | None, device: Device
) -> tuple[list[members.Network], Trained]:
    """Train a network, or one a fold, on an arm's train images and predict the others.

    Args:
        member: architecture and recipe.
        task: what of the arm.
        pixels: of the task's rows.
        weights: file with the backbone's weights, or None.
        device: where to train.

    Raises:
        UserError: the network is unknown, its weights are of another, or training diverges.

    """
    place = prepare(device)
    build = partial(
        members.build,
        member.backbone,
        classes=len(task.diagnoses),
        side_pixels=member.side_pixels,
        weights=weights,
        seed=task.seed,
    )
    network = build()
    augmentation = AUGMENTATIONS[member.augmentation]

    def load(label: str, split: str, applied: Augmentation | None) -> Part:
        side, of_split = stored_side(member.side_pixels, applied), pixels.take(task.rows(split))
        stored = load_images(of_split, side, network.preprocessing, scratch=task.scratch, label=label)
        images = ImageSet(stored, member.side_pixels, network.preprocessing, applied, place)
        return Part(images, task.targets(split))

    parts = {split: load(split, split, augmentation if split == "train" else None) for split in SPLITS}
    if member.folds > 1 and augmentation is not None:
        parts[AS_JUDGED] = load(AS_JUDGED, "train", None)
    trained = train(lambda: build().module.to(place), parts, task.plan(member))
    return [replace(network, module=module) for module in trained.networks], trained


def train_on_features(member: Probe, task: Task, matrix: NDArray[np.float32], *, device: Device) -> Trained:
    """Train a probe, or one a fold, on features of an arm's images, (rows, features) in the order of the task's rows.

    Raises:
        UserError: a feature is not finite, or a fold leaves nothing to learn from.

    """
    return train_probe(
        {split: matrix[task.rows(split)] for split in SPLITS},
        {split: task.targets(split) for split in SPLITS},
        task.plan(member),
        device=device,
    )


def predictions(selection: pd.DataFrame, trained: Trained) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Pair images with their probabilities, (images, classes), split by split."""
    splits = [split for split in SPLITS if split in trained.probabilities]
    frame = pd.concat([selection.loc[selection["split"] == split, ["image_id", "split"]] for split in splits])
    return frame, np.concatenate([trained.probabilities[split] for split in splits])


def history(trained: Trained, diagnoses: Sequence[str]) -> dict[str, Any]:
    """Describe the training: one row a network and epoch, which `dvc plots` draws; each one's best; the classes."""
    return {
        "diagnoses": list(diagnoses),
        "best_epochs": [best_epoch(lines).epoch for lines in trained.histories],
        "epochs": [
            {"network": network} | {name: _round(value) for name, value in asdict(line).items()}
            for network, lines in enumerate(trained.histories, start=1)
            for line in lines
        ],
    }


def _round(value: float) -> float:
    return value if isinstance(value, int) else round(value, 6)
