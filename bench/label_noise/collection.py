"""Real images with labels that are taken for the truth, as a project of this pipeline holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.label_noise.methods import Neighbours, find_neighbours
from bench.parts import ALL, named, take_part
from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.embed.tables import read_embeddings, read_layers
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.dataset import CONTEXT, Dataset
from pipeline.stages.label_noise.reading import read_labelled


@dataclass(frozen=True)
class Collection:
    """Images of one batch, all of them for classifiers to learn from.

    name: of the batch, and of its part.
    labelled: the images as the stage sees them, their labels true.
    encoders: ids, of the main encoder and of all layers.
    """

    name: str
    labelled: Dataset
    encoders: list[str]

    @cached_property
    def neighbours(self) -> Neighbours:
        """Who is near whom by the vectors of all networks, found once."""
        return find_neighbours(np.hstack(self.labelled.views))

    @cached_property
    def digest(self) -> str:
        """Of all that methods are given."""
        one = self.labelled
        arrays = [*one.views, one.context, one.given, one.group, one.lesion]
        return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()

    @property
    def truth(self) -> NDArray[np.int64]:
        """Position of each image's true diagnosis, (n,)."""
        return self.labelled.given


def read_collection(project: Path, batch: str, encoders: Sequence[str], lesions: str = ALL) -> Collection:
    """Read a batch that a project has ingested, embedded and deduplicated.

    Removed copies are left out: a copy whose label was not flipped would give a planted error away.

    Args:
        project: its folder.
        batch: its name.
        encoders: the main one first.
        lesions: part of the batch, of `bench.parts`.

    Raises:
        UserError: a stage has not run.

    """
    store = Store(project)
    groups = store.read(Groups)
    kept = groups.loc[groups["duplicate_of"].isna(), "image_id"]
    images = store.read(Images, [batch])
    images = take_part(images[images["image_id"].isin(kept)], lesions)
    everything, classes = groups.assign(split="train"), sorted(images["diagnosis"].unique())
    labelled = read_labelled(
        store, images, [batch], encoders=encoders, groups=everything, classes=classes, context=CONTEXT
    )
    tables = [read_layers(store, encoder, [batch])[0] for encoder in encoders]
    layers = [name for table in tables if len(table) for name in table["layers"].iloc[0]]
    embeddings, _ = read_embeddings(store, encoders[0], [batch])
    return Collection(named([batch], lesions), labelled, [*embeddings["encoder"].unique(), *layers])
