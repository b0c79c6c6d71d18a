"""A drawn world of embeddings with known diagnoses, lesions, splits, copies and wrong labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.stages.label_noise.labelled import Labelled
from pipeline.stages.label_noise.params import LabelNoiseParams

Array = np.ndarray[Any, Any]

CLASSES = ["eczema", "keratosis", "melanoma", "nevus", "psoriasis"]
CONFUSED = (1, 2, 3)  # keratosis, melanoma, nevus
DIMENSIONS = 24
SEEN_IN_HASTE = 2  # of them

TREE: dict[str, Any] = {
    "batches": ["b"],
    "classes": "all",
    "encoders": ["clip"],
    "context": ["age", "sex", "site"],
    "probe": {
        "folds": 5,
        "repeats": 1,
        "encoders": "pooled",
        "components": 16,
        "context_weight": 0.5,
        "landmarks": 0,
        "curvature": 0.5,
        "c": [0.1],
        "nearest": 10,
        "nearest_components": 16,
        "seed": 0,
    },
    "noise": {"start": 0.1, "rounds": 3, "prior_lesions": 20.0, "glances": [2, 4, 8]},
    "method": "noise_matrix",
    "min_error_probability": 0.5,
    "conflict_error_probability": 0.95,
    "off_topic": {"share": 0.1, "level_share": 0.25},
    "examples": 2,
    "pictures": 12,
    "audit": {"images": 40, "strata": 3, "seed": 0},
    "queue": {"first_image_seconds": 20.0, "next_image_seconds": 4.0, "evidence_odds": {"histopathology": 0.5}},
}


def params(**changes: Any) -> LabelNoiseParams:
    """Build the stage's params."""
    return LabelNoiseParams.model_validate(TREE | changes)


@dataclass(frozen=True)
class World:
    """Images as the stage sees them, and the truth."""

    labelled: Labelled
    truth: Array

    @property
    def wrong(self) -> Array:
        """Which labels are wrong."""
        wrong: Array = self.labelled.given != self.truth
        return wrong


def world(
    seed: int,
    *,
    lesions: int = 900,
    share: tuple[float, ...] = (0.15, 0.2, 0.2, 0.3, 0.15),
    spread: float = 0.3,
    test_share: float = 0.2,
) -> World:
    """Draw lesions of five diagnoses, one to three images each, every lesion a group of its own; all labels right."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (len(CLASSES), DIMENSIONS)) / np.sqrt(DIMENSIONS)
    of_lesion = rng.choice(len(CLASSES), lesions, p=share)
    lesion = np.repeat(np.arange(lesions), rng.integers(1, 4, lesions))
    own = centres[of_lesion] + rng.normal(0, spread, (lesions, DIMENSIONS))
    vectors = own[lesion] + rng.normal(0, spread / 3, (len(lesion), DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = rng.random(lesions)
    split = np.where(drawn < test_share / 2, "validation", np.where(drawn < test_share, "test", "train"))[lesion]
    labelled = Labelled(
        image_id=np.array([f"b:{i:05d}" for i in range(len(lesion))]),
        classes=CLASSES,
        given=of_lesion[lesion],
        vectors=vectors.astype(np.float32),
        levels=(),
        further=(),
        members=(),
        context=np.zeros((len(lesion), 0), np.float32),
        evidence=np.full(len(lesion), "consensus"),
        split=split,
        group=lesion,
        lesion=lesion,
        photograph=np.arange(len(lesion)),
        removed=np.zeros(len(lesion), bool),
        voter=split == "train",
    )
    return World(labelled, of_lesion[lesion])


def mislabel(world: World, kind: str, *, rate: float, seed: int) -> World:
    """Give a share of the lesions a wrong label: `uniform`, `confused` among three diagnoses only, or `hasty`.

    Hasty labels are drawn by how near a lesion is to the middle of each diagnosis in a few directions.
    """
    rng = np.random.default_rng(seed)
    if kind == "hasty":
        return _mislabel_in_haste(world, rate, rng)
    pool = np.arange(len(CLASSES)) if kind == "uniform" else np.array(CONFUSED)
    lesions, first = np.unique(world.labelled.lesion, return_index=True)
    given = world.truth[first].copy()
    eligible = np.flatnonzero(np.isin(given, pool))
    for i in rng.choice(eligible, round(rate * len(lesions)), replace=False):
        given[i] = rng.choice(pool[pool != given[i]])
    return replace(world, labelled=replace(world.labelled, given=given[world.labelled.lesion]))


def _mislabel_in_haste(world: World, rate: float, rng: np.random.Generator) -> World:
    _, first, lesion = np.unique(world.labelled.lesion, return_index=True, return_inverse=True)
    truth, vectors = world.truth[first], world.labelled.vectors[first]
    *_, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    shown = vectors @ directions[:SEEN_IN_HASTE].T
    middles = np.stack([shown[truth == class_].mean(axis=0) for class_ in range(len(CLASSES))])
    nearness = np.exp(-np.square((shown[:, None] - middles) / shown.std()).sum(axis=2))
    nearness[np.arange(len(truth)), truth] = 0
    doubt = nearness.sum(axis=1)
    given = truth.copy()
    for i in rng.choice(len(truth), round(rate * len(truth)), replace=False, p=doubt / doubt.sum()):
        given[i] = rng.choice(len(CLASSES), p=nearness[i] / doubt[i])
    return replace(world, labelled=replace(world.labelled, given=given[lesion]))


def relabel(world: World, rows: Array, given: Array | int) -> World:
    """Set the given labels of some rows."""
    changed = world.labelled.given.copy()
    changed[rows] = given
    return replace(world, labelled=replace(world.labelled, given=changed))


def add_copies(world: World, originals: Array, given: Array) -> World:
    """Append removed copies of some images, with labels of their own."""
    old = world.labelled

    def more(values: Array) -> Array:
        return np.concatenate([values, values[originals]])

    labelled = Labelled(
        image_id=np.concatenate([old.image_id, [f"b:copy{i:05d}" for i in range(len(originals))]]),
        classes=old.classes,
        given=np.concatenate([old.given, given]),
        vectors=more(old.vectors),
        levels=tuple(more(view) for view in old.levels),
        further=tuple(more(view) for view in old.further),
        members=tuple(more(view) for view in old.members),
        context=more(old.context),
        evidence=more(old.evidence),
        split=more(old.split),
        group=more(old.group),
        lesion=more(old.lesion),
        photograph=more(old.photograph),
        removed=np.concatenate([old.removed, np.ones(len(originals), bool)]),
        voter=np.concatenate([old.voter, np.zeros(len(originals), bool)]),
    )
    return World(labelled, more(world.truth))
