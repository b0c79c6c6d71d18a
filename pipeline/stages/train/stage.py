"""Train one member on one arm with one seed, and let it predict validation and test."""

from __future__ import annotations

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.models import members
from pipeline.models.trainable import weights_file
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.member import history, predictions, train_member
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.tables import Predictions


def run(store: Store, params: TrainParams, instance: str) -> None:
    """Write Predictions, the network and its history for the instance `<member>-<arm>-<seed>`."""
    _, arm, seed = instance.split("-")
    images, selection = store.read(Images, params.batches), store.read(Selection, arm)
    pixels = open_pixels(store, images.set_index("image_id").loc[selection["image_id"]].reset_index())
    diagnoses = diagnoses_in_scope(images["diagnosis"], params.classes)

    network, trained = train_member(
        params.member,
        selection,
        pixels,
        diagnoses=diagnoses,
        weights=weights_file(store, params.member),
        device=params.device,
        seed=int(seed),
        scratch=store.scratch(params, keep=f"train@{instance}"),
    )

    frame, probabilities = predictions(selection, trained)
    store.write(Predictions, frame, instance=instance, vectors={"probabilities": probabilities})
    with store.output(f"data/train/{instance}/weights.safetensors") as temporary:
        members.save(network, temporary)
    store.write_json(f"data/train/{instance}/history.json", history(trained, diagnoses))
