"""Train one member on one arm with one seed, and let it predict validation and test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.models import members
from pipeline.models.linear import save_probe
from pipeline.models.params import Probe
from pipeline.models.trainable import Trained, weights_file
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.encoder_features import read_features
from pipeline.stages.train.member import Task, history, predictions, train_member, train_on_features
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.tables import Predictions


def run(store: Store, params: TrainParams, instance: str) -> None:
    """Write Predictions, the networks and their history for the instance `<member>-<arm>-<seed>`."""
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
    saves, trained = train_on(store, params, task, images)

    for fold, save in enumerate(saves, start=1):
        name = "weights" if len(saves) == 1 else f"weights-{fold}"
        with store.output(f"data/train/{instance}/{name}.safetensors") as temporary:
            save(temporary)
    frame, probabilities = predictions(selection, trained)
    store.write(Predictions, frame, instance=instance, vectors={"probabilities": probabilities})
    store.write_json(f"data/train/{instance}/history.json", history(trained, task.diagnoses))


def train_on(
    store: Store, params: TrainParams, task: Task, images: pd.DataFrame
) -> tuple[list[Callable[[Path], None]], Trained]:
    """Train whatever the member is.

    Args:
        store: the project.
        params: of the member.
        task: what of the arm.
        images: the table Images.

    Returns:
        what writes each network, one or one a fold, as a weights file; histories and predictions.

    Raises:
        UserError: what the member starts from is not there or does not fit, or training diverges.

    """
    member, ids = params.member, task.selection["image_id"]
    if isinstance(member, Probe):
        features = read_features(store, member.backbone, params.batches, ids)
        trained = train_on_features(member, task, features.matrix, device=params.device)
        return [partial(save_probe, probe, features.name) for probe in trained.networks], trained
    pixels = open_pixels(store, images.set_index("image_id").loc[ids].reset_index())
    weights = weights_file(store, member)
    networks, trained = train_member(member, task, pixels, weights=weights, device=params.device)
    return [partial(members.save, network) for network in networks], trained
