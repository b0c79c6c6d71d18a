"""Train one member on one arm with one seed, and let it predict validation and test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.core.grouping import SPLITS
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.models import members
from pipeline.models.probe import save_probe, train_probe
from pipeline.models.trainable import Trained, weights_file
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.encoder_features import read_features
from pipeline.stages.train.member import Task, history, predictions, train_member
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.tables import Predictions


def run(store: Store, params: TrainParams, instance: str) -> None:
    """Write Predictions, the network and its history for the instance `<member>-<arm>-<seed>`."""
    _, arm, seed = instance.split("-")
    images, selection = store.read(Images, params.batches), store.read(Selection, arm)
    task = Task(
        selection,
        store.vectors(Selection, "target", arm),
        diagnoses_in_scope(images["diagnosis"], params.classes),
        loss=params.loss,
        seed=int(seed),
        scratch=store.scratch(params, keep=f"train@{instance}"),
    )
    save, trained = train_on(store, params, task, images)

    with store.output(f"data/train/{instance}/weights.safetensors") as temporary:
        save(temporary)
    frame, probabilities = predictions(selection, trained)
    store.write(Predictions, frame, instance=instance, vectors={"probabilities": probabilities})
    store.write_json(f"data/train/{instance}/history.json", history(trained, task.diagnoses))


def train_on(
    store: Store, params: TrainParams, task: Task, images: pd.DataFrame
) -> tuple[Callable[[Path], None], Trained]:
    """Train whatever the member is.

    Args:
        store: the project.
        params: of the member.
        task: what of the arm.
        images: the table Images.

    Returns:
        what writes the result as a weights file; history and predictions.

    Raises:
        UserError: what the member starts from is not there or does not fit, or training diverges.

    """
    member, ids = params.member, task.selection["image_id"]
    if member.trainable == "probe":
        features = read_features(store, member.backbone, params.batches, ids)
        probe, trained = train_probe(
            {split: features.matrix[task.rows(split)] for split in SPLITS},
            {split: task.targets(split) for split in SPLITS},
            member,
            task.loss,
            device=params.device,
            seed=task.seed,
            checkpoint=task.checkpoint,
        )
        return partial(save_probe, probe, features.name), trained
    pixels = open_pixels(store, images.set_index("image_id").loc[ids].reset_index())
    weights = weights_file(store, member)
    network, trained = train_member(member, task, pixels, weights=weights, device=params.device)
    return partial(members.save, network), trained
