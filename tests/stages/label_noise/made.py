"""A project's tables on disk, as `label_noise` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import Embeddings, Layers, lay_out
from tests.drawn import ingest, jpeg, lesion
from tests.stages.label_noise.planted import CLASSES, world

COUNT = 120


def project(root: Path) -> Store:
    """Write what the stage reads: 120 images, the first two of them copies with different labels, one label wrong."""
    planted = world(11, lesions=COUNT, spread=0.1).dataset
    first = np.unique(planted.lesion, return_index=True)[1]
    given, vectors, split = planted.given[first], planted.vectors[first], planted.split[first].astype(object)
    names = [f"demo:{i:03d}" for i in range(COUNT)]
    vectors[1], split[:3] = vectors[0], "train"
    given[1], given[2] = (given[0] + 1) % len(CLASSES), (given[2] + 2) % len(CLASSES)
    content = jpeg(lesion(0, width=40, height=30))
    diagnosis = [CLASSES[i] for i in given]
    store = ingest(root, dict.fromkeys((name[5:] for name in names), content), diagnosis=diagnosis)
    embeddings = pd.DataFrame({"image_id": names, "encoder": "drawn"})
    store.write(Embeddings, embeddings, instance="clip/demo", vectors={"vector": vectors})
    show_layers(store, "clip", names[:0], vectors[:0])
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


def show_layers(store: Store, encoder: str, names: list[str], *views: NDArray[Any]) -> None:
    """Write what an encoder's layers see, on scales of their own; nothing for no names."""
    frame, features = lay_out(
        pd.DataFrame({"image_id": names}),
        3 * np.hstack(views) + 1,
        layers=[f"drawn/{i}" for i in range(len(views))],
        widths=[view.shape[1] for view in views],
    )
    store.write(Layers, frame, instance=f"{encoder}/demo", vectors={"features": features})
