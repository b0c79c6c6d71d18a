"""Read from a project's tables what judging its labels needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.core.table import Table
from pipeline.stages.cross_fit.tables import OutOfFold
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.embed.tables import Embeddings, Levels
from pipeline.stages.label_noise.dataset import Dataset, Described, align
from pipeline.stages.opinions.tables import Opinions


def read_labelled(
    store: Store,
    images: pd.DataFrame,
    batches: Sequence[str],
    *,
    groups: pd.DataFrame,
    classes: list[str],
    context: Sequence[str],
    members: bool,
) -> Dataset:
    """Read what is known of images.

    Args:
        store: the project.
        images: rows of the table Images.
        batches: theirs.
        groups: the table Groups.
        classes: diagnoses in scope.
        context: what of the patient the probes may know, columns of Images.
        members: whether fine-tuned members are heard. Where labels are planted they must not be: they would have learnt
            from the true ones.

    Raises:
        UserError: a stage has not run, or tables speak of other images.

    """
    nobody: Described = (OutOfFold.empty(), np.zeros((0, 1)))
    return align(
        images,
        store.read(Embeddings, batches),
        vectors=store.vectors(Embeddings, "vector", batches),
        levels=read_described(store, Levels, batches),
        opinions=read_described(store, Opinions, batches),
        out_of_fold=(store.read(OutOfFold), store.vectors(OutOfFold, "probabilities")) if members else nobody,
        groups=groups,
        duplicates=store.read(Duplicates),
        classes=classes,
        context=context,
    )


def read_described(store: Store, table: type[Table], batches: Sequence[str]) -> Described:
    """Read a table of descriptions: Levels or Opinions."""
    return store.read(table, batches), store.vectors(table, "description", batches)
