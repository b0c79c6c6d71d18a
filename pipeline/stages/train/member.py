"""One member's training, from the rows of an arm to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from pipeline.models.batches import AUGMENTATIONS, ImageSet, load_images, stored_side
from pipeline.models.devices import prepare
from pipeline.models.fit import best_epoch
from pipeline.models.params import LossName, Member
from pipeline.models.trainable import SCORED, Part, Targets, Trained, train

LEAST = {"train": 2, "validation": 1, "test": 1}  # images to learn from, to stop by and to score


@dataclass(frozen=True)
class Task:
    """What is to be learnt of an arm.

    selection: rows of the table Selection.
    target: (rows, classes) its vector `target`.
    diagnoses: the classes, in the order of every probability vector.
    loss: which is minimised.
    seed: of everything random.
    scratch: folder for the checkpoint.
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

    @property
    def checkpoint(self) -> Path:
        """File that keeps finished epochs."""
        return self.scratch / "checkpoint.pt"

    def rows(self, split: str) -> NDArray[np.intp]:
        """Return the positions of a split's rows."""
        return np.flatnonzero(self.selection["split"] == split)

    def targets(self, split: str) -> Targets:
        """Return what is to be learnt of a split's images."""
        weight, draws = (self.selection[name].to_numpy(np.float32) for name in ("weight", "draws"))
        return Targets(self.target, weight, draws).take(self.rows(split))


def train_member(
    member: Member, task: Task, pixels: Pixels, *, weights: Path | None, device: Device
) -> tuple[members.Network, Trained]:
    """Train a network on an arm's train images and predict the others.

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
    network = members.build(
        member.backbone, classes=len(task.diagnoses), side_pixels=member.side, weights=weights, seed=task.seed
    )
    network.module.to(place)
    augmentation = AUGMENTATIONS[member.augmentation]
    parts = {}
    for split in SPLITS:
        side = stored_side(member.side, augmentation if split == "train" else None)
        stored = load_images(
            pixels.take(task.rows(split)), side, network.preprocessing, scratch=task.scratch, label=split
        )
        images = ImageSet(stored, member.side, network.preprocessing, augmentation, place)
        parts[split] = Part(images, task.targets(split))
    return network, train(network.module, parts, member, task.loss, seed=task.seed, checkpoint=task.checkpoint)


def predictions(selection: pd.DataFrame, trained: Trained) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Pair the images of validation and test with their probabilities, (images, classes)."""
    frame = pd.concat([selection.loc[selection["split"] == split, ["image_id", "split"]] for split in SCORED])
    return frame, np.concatenate([trained.probabilities[split] for split in SCORED])


def history(trained: Trained, diagnoses: Sequence[str]) -> dict[str, Any]:
    """Describe the training: one entry an epoch, which of them was kept, and the order of the classes."""
    return {
        "diagnoses": list(diagnoses),
        "best_epoch": best_epoch(trained.history).epoch,
        "epochs": [{name: _round(value) for name, value in asdict(line).items()} for line in trained.history],
    }


def _round(value: float) -> float:
    return value if isinstance(value, int) else round(value, 6)
