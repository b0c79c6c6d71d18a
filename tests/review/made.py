"""A project of drawn pictures whose curated arm is built: what a steward's session opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.params import read_tree, stage_params
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import Embeddings
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.tables import AuditSample, LabelScores, OffTopicQueue, SuspectQueue
from pipeline.stages.rebalance.stage import run as rebalance
from pipeline.stages.replay.stage import run as replay
from tests import params
from tests.drawn import ingest, jpeg, lesion, png
from tests.ledger.made import EMPTY, ledger
from tests.stages.rebalance.made import duplicates, groups, scores

COUNT = 12
PAIRS = [("demo:00", "demo:01", "copy"), ("demo:02", "demo:05", "same_lesion")]


def project(root: Path, content: bytes = EMPTY, **changes: Any) -> Store:
    """Draw the pictures, write the tables of all stages before `replay`, and run it and `rebalance`.

    Args:
        root: an empty folder.
        content: of the ledger.
        changes: `a__b=1` sets `a.b` in the demo's params.

    """
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
    write_queues(store, judged)
    params.write(root, **changes)
    ledger(root, content)
    apply_decisions(store)
    return store


def write_queues(store: Store, judged: pd.DataFrame) -> None:
    """Queue every image that is no copy, in three ways; the most doubtful comes first in all."""
    copies = {b for _, b, relation in PAIRS if relation == "copy"}
    rows = judged[~judged["image_id"].isin(copies)].sort_values("error_probability", ascending=False)
    rows = rows.assign(place=range(1, len(rows) + 1)).reset_index(drop=True)
    errors = rows["error_probability"].cumsum()
    suspects = rows[["image_id", "place", "ambiguous", "error_probability"]].assign(
        errors_per_minute=rows["error_probability"] * 3,
        minutes_so_far=rows["place"] / 3,
        errors_so_far=errors,
        errors_left=errors.iloc[-1] - errors,
    )
    off = rows[["image_id", "place", "off_topic"]].assign(off_topic_left=rows["off_topic"][::-1].cumsum()[::-1])
    audit = rows[["image_id", "place"]].assign(stratum=0, stratum_images=len(rows))
    store.write(SuspectQueue, suspects.assign(label_evidence="unknown"))
    store.write(OffTopicQueue, off)
    store.write(AuditSample, audit)


def apply_decisions(store: Store) -> None:
    """Replay the ledger and build the curated arm."""
    tree = read_tree(store.root / "params.yaml")
    replay(store, stage_params(tree, "replay", None))  # type: ignore[arg-type]
    rebalance(store, stage_params(tree, "rebalance", "curated"), "curated")  # type: ignore[arg-type]
