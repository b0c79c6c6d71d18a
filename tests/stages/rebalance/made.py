"""A small dataset without pixels: what `rebalance` reads, with copies, lesions, suspects and off-topic pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.grouping import assign_splits, components, links
from pipeline.core.store import Store
from pipeline.core.table import Table
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.params import RebalanceParams
from pipeline.stages.rebalance.stage import run
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.replay.params import ReplayParams
from pipeline.stages.replay.stage import run as replay
from tests.ledger.made import decision, ledger

ARMS: dict[str, dict[str, Any]] = {
    "raw": {"drop_duplicates": False, "label_policy": "none", "decisions": False, "random_removal_as": None},
    "dedup": {"drop_duplicates": True, "label_policy": "none", "decisions": False, "random_removal_as": None},
    "clean": {"drop_duplicates": True, "label_policy": "drop", "decisions": False, "random_removal_as": None},
    "curated": {"drop_duplicates": True, "label_policy": "drop", "decisions": True, "random_removal_as": None},
    "control": {"drop_duplicates": False, "label_policy": "none", "decisions": False, "random_removal_as": "curated"},
}
TREE = {
    "batches": ["b"],
    "classes": ["melanoma", "nevus"],
    "arms": ARMS,
    "label_policy": {
        "exclude_min_error_probability": 0.9,
        "downweight_min_error_probability": 0.7,
        "downweight_to": 0.5,
        "soften_min_error_probability": 0.5,
        "relabel_min_probability": 0.7,
        "exclude_min_off_topic": 0.95,
    },
    "balance": {"policy": "class_weights", "beta": 0.99, "max_ratio": 20.0},
    "seed": 0,
}


def params(**changes: Any) -> RebalanceParams:
    """Build the stage's params."""
    return RebalanceParams.model_validate(TREE | changes)


def images(count: int = 400, *, seed: int = 0) -> pd.DataFrame:
    """Draw Images: three diagnoses, of which one is out of scope; every third image shares a lesion with the next."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"image_id": [f"b:{i:04d}" for i in range(count)]})
    frame["sha256"] = "sha of " + frame["image_id"]
    frame["diagnosis"] = rng.choice(["eczema", "melanoma", "nevus"], count, p=[0.1, 0.2, 0.7])
    frame["lesion_id"] = [f"b:lesion{i // 3}" if i % 3 else None for i in range(count)]
    return fill(frame, Images)


def duplicates(pairs: list[tuple[str, str, str]]) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Make the table Duplicates of (a, b, relation), and its transforms."""
    frame = pd.DataFrame(pairs, columns=["a", "b", "relation"]).astype(str)
    return fill(frame, Duplicates), np.zeros((len(frame), 9), dtype=np.float32)


def groups(known: pd.DataFrame, pairs: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Make the table Groups as `dedup` does: of a copy pair the second is the copy."""
    names = known["image_id"].tolist()
    found = components(names, [(a, b) for a, b, _ in pairs] + links(names, known["lesion_id"].tolist()))
    split = assign_splits(names, found, salt="s", validation_share=0.2, test_share=0.25)
    copies = {b: a for a, b, relation in pairs if relation == "copy"}
    frame = pd.DataFrame({"image_id": names, "group_id": found, "split": split})
    frame["duplicate_of"] = [copies.get(name) for name in names]
    return frame


def scores(known: pd.DataFrame, *, seed: int = 1) -> pd.DataFrame:
    """Draw the table LabelScores, without vectors."""
    rng = np.random.default_rng(seed)
    frame = known.loc[known["diagnosis"] != "eczema", ["image_id", "diagnosis"]].reset_index(drop=True)
    frame = frame.rename(columns={"diagnosis": "given"}).assign(suggested="nevus")
    frame["error_probability"] = rng.uniform(0, 1, len(frame)).round(3)
    frame["off_topic"] = rng.uniform(0, 1, len(frame)).round(3)
    frame["suspect"] = frame["error_probability"] >= 0.5
    return fill(frame, LabelScores)


def fill(frame: pd.DataFrame, table: type[Table]) -> pd.DataFrame:
    """Add the columns of the table that the frame lacks, with values of no meaning."""
    plain = {"string": "x", "int64": 1, "double": 0.5, "bool": False}
    for column in table.scalars():
        if column.name not in frame:
            value: Any = column.choices[0] if column.choices else plain.get(str(column.type), [])
            value = None if column.nullable else value
            values = pd.Series([value] * len(frame), index=frame.index)
            frame[column.name] = values.astype("float64") if str(column.type) == "double" else values
    return frame


PAIRS = [(f"b:{i:04d}", f"b:{i + 1:04d}", "copy") for i in range(0, 100, 4)] + [
    (f"b:{i:04d}", f"b:{i + 7:04d}", "same_lesion") for i in range(101, 200, 10)
]


def decisions(known: pd.DataFrame) -> list[Any]:
    """Decide on every 23rd image in turn, part one pair of copies and join two lesions."""
    given = known.set_index("image_id")["diagnosis"]
    made = []
    for turn, image in enumerate(known["image_id"][::23]):
        verdict = ("keep", "relabel", "drop", "not_sure")[turn % 4]
        label = given[image] if verdict != "drop" else ""
        other = "melanoma" if given[image] == "nevus" else "nevus"
        made.append(decision(image, verdict, given=label, to=other if verdict == "relabel" else ""))
    parted = decision("b:0008", "not_a_duplicate", other_image_id="b:0009")
    joined = decision("b:0300", "same_lesion", other_image_id="b:0350")
    return [*made, parted, joined]


def project(root: Path, content: bytes) -> tuple[Store, pd.DataFrame]:
    """Write everything that `replay` and `rebalance` read; return the store and the images."""
    store, known = Store(root), images()
    frame, transform = duplicates(PAIRS)
    judged = scores(known)
    store.write(Images, known, instance="b")
    store.write(Duplicates, frame, vectors={"transform": transform})
    store.write(Groups, groups(known, PAIRS))
    store.write(
        LabelScores, judged, vectors=dict.fromkeys(("probabilities", "posterior"), np.full((len(judged), 2), 0.5))
    )
    ledger(root, content)
    return store, known


def build(store: Store, *arms: str) -> None:
    """Apply the ledger and build arms, all unless some are named."""
    replay(store, ReplayParams(batches=["b"], second_signature=True, until=None))
    for arm in arms or ARMS:
        run(store, params(), arm)


def write_selection(store: Store, selection: pd.DataFrame, arm: str, diagnoses: list[str]) -> None:
    """Write Selection; each image counts as its diagnosis alone."""
    target = (selection["diagnosis"].to_numpy()[:, None] == np.array(diagnoses)).astype(np.float32)
    store.write(Selection, selection, instance=arm, vectors={"target": target})
