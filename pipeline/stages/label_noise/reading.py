"""Read from a project's tables what judging its labels needs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.embed.tables import read_embeddings, read_layers
from pipeline.stages.label_noise.dataset import Dataset, align


def read_labelled(
    store: Store,
    images: pd.DataFrame,
    batches: Sequence[str],
    *,
    encoders: Sequence[str],
    groups: pd.DataFrame,
    classes: list[str],
    context: Sequence[str],
) -> Dataset:
    """Read what is known of images.

    Args:
        store: the project.
        images: rows of the table Images.
        batches: of the images.
        encoders: of `embed`, the main one first; of the others only their layers judge labels.
        groups: the table Groups.
        classes: diagnoses in scope.
        context: what of the patient classifiers may know, columns of Images.

    Raises:
        UserError: a stage has not run, tables speak of other images, or a further encoder names no layer.

    """
    main, *others = encoders
    embeddings, vectors = read_embeddings(store, main, batches)
    further = {name: read_layers(store, name, batches) for name in others}
    for name, (table, _) in further.items():
        if table.empty:
            raise UserError(
                f"{name} names no layer, and layers are all that labels are judged by of an encoder after the first: "
                f"name some in embed.encoders.{name}.layers, or take {name} out of encoders"
            )
    return align(
        images,
        embeddings,
        vectors=vectors,
        layers=read_layers(store, main, batches),
        further=list(further.values()),
        groups=groups,
        duplicates=store.read(Duplicates),
        classes=classes,
        context=context,
    )
