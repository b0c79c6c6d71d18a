"""A drawn world of embeddings with known diagnoses, lesions, splits, copies and wrong labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.noise_model import NoiseSettings
from pipeline.stages.label_noise.params import LabelNoiseParams

CLASSES = ["eczema", "keratosis", "melanoma", "nevus", "psoriasis"]
CONFUSED = (1, 2, 3)  # keratosis, melanoma, nevus
DIMENSIONS = 24
SEEN_WEAKLY = 2  # of them

TREE: dict[str, Any] = {
    "batches": ["b"],
    "classes": "all",
    "encoders": ["clip"],
    "context": ["age", "sex", "site"],
    "seed": 0,
    "folds": 5,
    "neighbours": 10,
    "method": "noise_matrix",
    "min_error_probability": 0.5,
    "conflict_error_probability": 0.95,
    "min_off_topic": 0.05,
    "exclude_min_off_topic": 0.99,
    "report_images": 12,
    "audit": {"images": 40, "seed": 0},
    "queue": {"first_image_seconds": 20.0, "next_image_seconds": 4.0, "evidence_odds": {"histopathology": 0.5}},
}


COMPONENTS = 16
NOISE = NoiseSettings(prior_labels=20.0, weak_components=(2, 4, 8))


def params(**changes: Any) -> LabelNoiseParams:
    """Build the stage's params."""
    return LabelNoiseParams.model_validate(TREE | changes)


@dataclass(frozen=True)
class World:
    """Images as the stage sees them, and the truth."""

    dataset: Dataset
    truth: NDArray[np.int64]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which labels are wrong."""
        wrong: NDArray[np.bool_] = self.dataset.given != self.truth
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
    dataset = Dataset(
        image_id=np.array([f"b:{i:05d}" for i in range(len(lesion))]),
        classes=CLASSES,
        given=of_lesion[lesion],
        vectors=vectors.astype(np.float32),
        layers=(),
        further=(),
        members=(),
        context=np.zeros((len(lesion), 0), np.float32),
        evidence=np.full(len(lesion), "consensus"),
        split=split,
        group=lesion,
        lesion=lesion,
        copy_group=np.arange(len(lesion)),
        removed=np.zeros(len(lesion), bool),
        reference=split == "train",
    )
    return World(dataset, of_lesion[lesion])


def mislabel(world: World, kind: str, *, rate: float, seed: int) -> World:
    """Give a share of lesions a wrong label: `uniform`, `confused` among three diagnoses, or `instance_dependent`.

    The latter are drawn by how near a lesion is to the middle of each diagnosis in a few directions.
    """
    rng = np.random.default_rng(seed)
    if kind == "instance_dependent":
        return _mislabel_by_looks(world, rate, rng)
    pool = np.arange(len(CLASSES)) if kind == "uniform" else np.array(CONFUSED)
    lesions, first = np.unique(world.dataset.lesion, return_index=True)
    given = world.truth[first].copy()
    eligible = np.flatnonzero(np.isin(given, pool))
    for i in rng.choice(eligible, round(rate * len(lesions)), replace=False):
        given[i] = rng.choice(pool[pool != given[i]])
    return replace(world, dataset=replace(world.dataset, given=given[world.dataset.lesion]))


def _mislabel_by_looks(world: World, rate: float, rng: np.random.Generator) -> World:
    _, first, lesion = np.unique(world.dataset.lesion, return_index=True, return_inverse=True)
    truth, vectors = world.truth[first], world.dataset.vectors[first]
    *_, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    shown = vectors @ directions[:SEEN_WEAKLY].T
    middles = np.stack([shown[truth == class_].mean(axis=0) for class_ in range(len(CLASSES))])
    nearness = np.exp(-np.square((shown[:, None] - middles) / shown.std()).sum(axis=2))
    nearness[np.arange(len(truth)), truth] = 0
    doubt = nearness.sum(axis=1)
    given = truth.copy()
    for i in rng.choice(len(truth), round(rate * len(truth)), replace=False, p=doubt / doubt.sum()):
        given[i] = rng.choice(len(CLASSES), p=nearness[i] / doubt[i])
    return replace(world, dataset=replace(world.dataset, given=given[lesion]))


def relabel(world: World, rows: NDArray[np.int64], given: NDArray[np.int64] | int) -> World:
    """Set the given labels of some rows."""
    changed = world.dataset.given.copy()
    changed[rows] = given
    return replace(world, dataset=replace(world.dataset, given=changed))


def add_copies(world: World, originals: NDArray[np.int64], given: NDArray[np.int64]) -> World:
    """Append removed copies of some images, with labels of their own."""
    old = world.dataset

    def more(values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values, values[originals]])

    dataset = Dataset(
        image_id=np.concatenate([old.image_id, [f"b:copy{i:05d}" for i in range(len(originals))]]),
        classes=old.classes,
        given=np.concatenate([old.given, given]),
        vectors=more(old.vectors),
        layers=tuple(more(view) for view in old.layers),
        further=tuple(more(view) for view in old.further),
        members=tuple(more(view) for view in old.members),
        context=more(old.context),
        evidence=more(old.evidence),
        split=more(old.split),
        group=more(old.group),
        lesion=more(old.lesion),
        copy_group=more(old.copy_group),
        removed=np.concatenate([old.removed, np.ones(len(originals), bool)]),
        reference=np.concatenate([old.reference, np.zeros(len(originals), bool)]),
    )
    return World(dataset, more(world.truth))
