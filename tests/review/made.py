"""A project of drawn pictures whose curated arm is built: what a steward's session opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.params import read_tree, stage_params
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import Embeddings
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.stage import run as rebalance
from pipeline.stages.replay.stage import run as replay
from tests import params
from tests.drawn import ingest, jpeg, lesion, png
from tests.ledger.made import EMPTY, ledger
from tests.stages.rebalance.made import duplicates, groups, scores

COUNT = 12
PAIRS = [("demo:00", "demo:01", "copy"), ("demo:02", "demo:05", "same_lesion")]


def project(root: Path, content: bytes = EMPTY) -> Store:
    """Draw the pictures, write the tables of all stages before `replay`, and run it and `rebalance`."""
    contents = {f"{i:02d}": (png if i == 3 else jpeg)(lesion(i, width=64, height=48)) for i in range(COUNT)}
    diagnoses: list[str | None] = ["melanoma" if i % 4 == 0 else "nevus" for i in range(COUNT)]
    store = ingest(root, contents, diagnosis=diagnoses)
    images = store.read(Images, ["demo"])
    frame, transform = duplicates(PAIRS)
    judged = scores(images)
    store.write(Duplicates, frame, vectors={"transform": transform})
    store.write(Groups, groups(images, PAIRS))
    store.write(LabelScores, judged, vectors=dict.fromkeys(("probabilities", "posterior"), np.full((COUNT, 2), 0.5)))
    encoders = pd.DataFrame({"image_id": images["image_id"], "encoder": "drawn"})
    vectors = np.random.default_rng(0).normal(0, 1, (COUNT, 8))
    store.write(Embeddings, encoders, instance="clip/demo", vectors={"vector": vectors})
    params.write(root)
    ledger(root, content)
    apply_decisions(store)
    return store


def apply_decisions(store: Store) -> None:
    """Replay the ledger and build the curated arm."""
    tree = read_tree(store.root / "params.yaml")
    replay(store, stage_params(tree, "replay", None))  # type: ignore[arg-type]
    rebalance(store, stage_params(tree, "rebalance", "curated"), "curated")  # type: ignore[arg-type]
