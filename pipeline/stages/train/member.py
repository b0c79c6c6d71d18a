"""One member's training, from the rows of an arm to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
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
from pipeline.models.params import Member
from pipeline.models.trainable import SCORED, Part, Trained, train


def train_member(
    member: Member,
    selection: pd.DataFrame,
    pixels: Pixels,
    *,
    diagnoses: Sequence[str],
    weights: Path | None,
    device: Device,
    seed: int,
    scratch: Path,
) -> tuple[members.Network, Trained]:
    """Train a network on an arm's train images and predict the others.

    Args:
        member: architecture and recipe.
        selection: rows of the table Selection.
        pixels: of the same rows.
        diagnoses: the classes, in the order of every probability vector.
        weights: file with the backbone's weights, or None.
        device: where to train.
        seed: of everything random.
        scratch: folder for the checkpoint.

    Raises:
        UserError: there is nothing to learn from or to stop by.

    """
    actual = classes_of(selection["diagnosis"], diagnoses)
    place = prepare(device)
    network = members.build(
        member.backbone, classes=len(diagnoses), side_pixels=member.side_pixels, weights=weights, seed=seed
    )
    network.module.to(place)
    augmentation = AUGMENTATIONS[member.augmentation]
    parts = {}
    for split in SPLITS:
        rows = np.flatnonzero(selection["split"] == split)
        _require(split, len(rows))
        side = stored_side(member.side_pixels, augmentation if split == "train" else None)
        stored = load_images(pixels.take(rows), side, network.preprocessing, scratch=scratch, label=split)
        images = ImageSet(stored, member.side_pixels, network.preprocessing, augmentation, place)
        parts[split] = Part(images, actual[rows], selection["weight"].to_numpy()[rows])
    trained = train(network.module, parts, member, seed=seed, checkpoint=scratch / "checkpoint.pt")
    return network, trained


def classes_of(diagnosis: pd.Series[str], diagnoses: Sequence[str]) -> NDArray[np.integer]:
    """Number each diagnosis by its place in `diagnoses`: (images,).

    Raises:
        UserError: one is not among them.

    """
    actual = pd.Index(diagnoses).get_indexer(pd.Index(diagnosis))
    if (actual < 0).any():
        unknown = sorted(diagnosis[actual < 0].unique())
        raise UserError(
            f"the selection holds {unknown}, which classes in params.yaml leaves out: run `dvc repro rebalance`"
        )
    return actual


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


def _require(split: str, count: int) -> None:
    least = {"train": 2, "validation": 1, "test": 1}[split]
    if count < least:
        raise UserError(f"{split} holds {count} images and needs {least}: add images, or change split in params.yaml")
