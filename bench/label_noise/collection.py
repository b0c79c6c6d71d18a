"""Real images with labels that are taken for the truth, as a project of this pipeline holds them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.label_noise.methods import Neighbours, find_neighbours
from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.embed.tables import Embeddings, Levels
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.context import KNOWN
from pipeline.stages.label_noise.labelled import Labelled
from pipeline.stages.label_noise.reading import read_labelled
from pipeline.stages.opinions.tables import Opinions


@dataclass(frozen=True)
class Collection:
    """Images of one batch, all of them for probes to learn from.

    name: of the batch.
    labelled: the images as the stage sees them, their labels true.
    encoders: ids.
    """

    name: str
    labelled: Labelled
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


def read_collection(project: Path, batch: str) -> Collection:
    """Read a batch that a project has ingested, embedded and deduplicated.

    Removed copies are left out: a copy whose label was not flipped would give a planted error away.

    Raises:
        UserError: a stage has not run.

    """
    store = Store(project)
    groups = store.read(Groups)
    kept = groups.loc[groups["duplicate_of"].isna(), "image_id"]
    images = store.read(Images, [batch])
    images = images[images["image_id"].isin(kept)]
    everything, classes = groups.assign(split="train"), sorted(images["diagnosis"].unique())
    labelled = read_labelled(store, images, [batch], groups=everything, classes=classes, context=KNOWN, members=False)
    described = [store.read(table, [batch]) for table in (Levels, Opinions)]
    networks = [name for table in described if len(table) for name in table["networks"].iloc[0]]
    return Collection(batch, labelled, [*store.read(Embeddings, [batch])["encoder"].unique(), *networks])
