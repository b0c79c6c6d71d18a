"""A project's tables on disk, as `label_noise` reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.core.table import Table, lay_out
from pipeline.stages.cross_fit.tables import OutOfFold
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import Embeddings, Levels
from pipeline.stages.opinions.tables import Opinions
from tests.drawn import ingest, jpeg, lesion
from tests.stages.label_noise.planted import CLASSES, Array, world

COUNT = 120


def project(root: Path) -> Store:
    """Write what the stage reads: 120 images, the first two of them copies with different labels, one label wrong."""
    planted = world(11, lesions=COUNT, spread=0.1).labelled
    first = np.unique(planted.lesion, return_index=True)[1]
    given, vectors, split = planted.given[first], planted.vectors[first], planted.split[first].astype(object)
    names = [f"demo:{i:03d}" for i in range(COUNT)]
    vectors[1], split[:3] = vectors[0], "train"
    given[1], given[2] = (given[0] + 1) % len(CLASSES), (given[2] + 2) % len(CLASSES)
    content = jpeg(lesion(0, width=40, height=30))
    diagnosis = [CLASSES[i] for i in given]
    store = ingest(root, dict.fromkeys((name[5:] for name in names), content), diagnosis=diagnosis)
    embeddings = pd.DataFrame({"image_id": names, "encoder": "drawn"})
    store.write(Embeddings, embeddings, instance="demo", vectors={"vector": vectors})
    for table in (Levels, Opinions):
        describe(store, table, names[:0], vectors[:0])
    store.write(OutOfFold, OutOfFold.empty(), vectors={"probabilities": np.zeros((0, len(CLASSES)))})
    groups = pd.DataFrame({"image_id": names, "duplicate_of": None, "group_id": names, "split": split})
    groups.loc[1, ["duplicate_of", "group_id"]] = names[0]
    store.write(Groups, groups)
    edge = {"a": names[0], "b": names[1], "relation": "copy", "evidence": "bytes", "proposed_by": ["bytes"]}
    numbers = {
        "overlap": 1.0,
        "correlation": 1.0,
        "residual": None,
        "bending": None,
        "inliers": 0,
        "shared_occlusions": None,
    }
    store.write(Duplicates, pd.DataFrame([edge | numbers]), vectors={"transform": np.zeros((1, 9))})
    return store


def describe(store: Store, table: type[Table], names: list[str], *views: Array) -> None:
    """Write what some networks see, on scales of their own; nothing for no names."""
    described, matrix = lay_out(
        pd.DataFrame({"image_id": names}),
        3 * np.hstack(views) + 1,
        networks=[f"drawn/{i}" for i in range(len(views))],
        widths=[view.shape[1] for view in views],
    )
    store.write(table, described, instance="demo", vectors={"description": matrix})
