"""Wrong labels of known shapes, planted per lesion or per image.

A lesion is labelled once, so its images share an error; planted per image, another image of the lesion gives it away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from bench.label_noise.collection import Collection

Given = NDArray[np.int64]  # class numbers
Vectors = NDArray[np.floating]

CONFUSED = ("nevus", "melanoma", "benign_keratosis")  # nv, mel and bkl: what dermatologists confuse
WEAK_COMPONENTS = 16
RANDOM_DIRECTIONS, TREES, TREE_DEPTH = 24, 100, 4
PER = ("lesion", "image")
SOURCE_SIZES = (3, 10)  # lesions of a pseudo-patient


class Units(NamedTuple):
    """What gets one label: lesions, or images.

    truth: (u,).
    vectors: (u, d), the mean over a unit's images.
    classes: names.
    patient: (u, numbers) age, sex and site; no numbers where nothing is known.
    """

    truth: Given
    vectors: Vectors
    classes: list[str]
    patient: Vectors


@dataclass(frozen=True)
class Planted:
    """Labels with errors.

    given: (n,).
    wrong: (n,) which differ from the truth.
    evidence: (n,) how the given diagnosis is said to be confirmed.
    """

    given: Given
    wrong: NDArray[np.bool_]
    evidence: NDArray[np.str_]


def plant(collection: Collection, shape: str, *, rate: float, per: str, seed: int) -> Planted:
    """Give a share of lesions, or of images, a wrong label, and redraw the evidence among images of that label.

    Evidence that stayed behind would give errors away: in HAM10000 a `follow-up` that is no nevus is one.

    Args:
        collection: the images.
        shape: a key of `SHAPES`.
        rate: share of the units.
        per: one of `PER`.
        seed: of all draws.

    """
    rng = np.random.default_rng([seed, list(SHAPES).index(shape), round(1000 * rate), PER.index(per)])
    labelled = collection.labelled
    unit = labelled.lesion if per == "lesion" else np.arange(len(labelled.given))
    _, first, unit = np.unique(unit, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), labelled.vectors.shape[1]), np.float32)
    np.add.at(sums, unit, labelled.vectors)
    units = Units(collection.truth[first], sums / np.bincount(unit)[:, None], labelled.classes, labelled.context[first])
    given = SHAPES[shape](units, rate, rng)[unit]
    wrong = given != collection.truth
    evidence = labelled.evidence.copy()
    for class_ in np.unique(given[wrong]):
        rows, alike = np.flatnonzero(wrong & (given == class_)), np.flatnonzero(collection.truth == class_)
        drawn = dict(zip(np.unique(unit[rows]), rng.choice(alike, len(np.unique(unit[rows]))), strict=True))
        evidence[rows] = labelled.evidence[[drawn[name] for name in unit[rows]]]
    return Planted(given, wrong, evidence)


def uniform(units: Units, rate: float, rng: np.random.Generator) -> Given:
    """Flip a share of all units to any other class: SelfClean's LBL."""
    chosen = rng.choice(len(units.truth), ceil(rate * len(units.truth)), replace=False)
    return _flip_anywhere(units, chosen, rng)


def per_class(units: Units, rate: float, rng: np.random.Generator) -> Given:
    """Flip the same share of every class to any other: SelfClean's LBLC."""
    members = [np.flatnonzero(units.truth == class_) for class_ in np.unique(units.truth)]
    chosen = [rng.choice(rows, ceil(rate * len(rows)), replace=False) for rows in members]
    return _flip_anywhere(units, np.concatenate(chosen), rng)


def confused(units: Units, rate: float, rng: np.random.Generator) -> Given:
    """Flip units among nevi, melanomas and keratoses; in a collection of other classes, to the class most like theirs.

    The share is of all units, so among the three it is a little higher.
    """
    pool = np.array([units.classes.index(name) for name in CONFUSED if name in units.classes])
    three = len(pool) == len(CONFUSED)
    others = {int(c): pool[pool != c] for c in pool} if three else _most_alike(units)
    eligible = np.flatnonzero(np.isin(units.truth, list(others)))
    given = units.truth.copy()
    for i in rng.choice(eligible, min(ceil(rate * len(given)), len(eligible)), replace=False):
        given[i] = rng.choice(others[int(given[i])])
    return given


def feature_dependent(units: Units, rate: float, rng: np.random.Generator) -> Given:
    """Flip what a weak model is unsure of, to what it takes it for: errors as tired people make them.

    The model is a logistic regression on a few principal components, far weaker than any method under test.
    """
    centred = units.vectors - units.vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    inputs = centred @ directions[:, -WEAK_COMPONENTS:]
    inputs /= inputs.std(axis=0)
    return _flip_unsure(units, LogisticRegression(max_iter=1000), inputs, rate, rng)


def tree_dependent(units: Units, rate: float, rng: np.random.Generator) -> Given:
    """Flip likewise what a forest of shallow trees on random directions is unsure of: no method is built like it."""
    inputs = units.vectors @ rng.normal(size=(units.vectors.shape[1], RANDOM_DIRECTIONS)).astype(np.float32)
    forest = RandomForestClassifier(TREES, max_depth=TREE_DEPTH, random_state=int(rng.integers(2**31)))
    return _flip_unsure(units, forest, inputs, rate, rng)


def by_source(units: Units, rate: float, rng: np.random.Generator) -> Given:
    """Give whole pseudo-patients one wrong label, as who mislabels a patient or an album does with all its images.

    A label is wrong for who it is put on: lesions of a chosen source that do show it stay right, and are not counted.
    """
    given, source = units.truth.copy(), pseudo_patients(units, rng)
    wanted = ceil(rate * len(given))
    for one in rng.permutation(source.max() + 1):
        if (given != units.truth).sum() >= wanted:
            break
        members = np.flatnonzero(source == one)
        usual = np.bincount(units.truth[members]).argmax()
        given[members] = (usual + rng.integers(1, len(units.classes))) % len(units.classes)
    return given


def pseudo_patients(units: Units, rng: np.random.Generator) -> NDArray[np.int64]:
    """Put lesions together as if a patient had them: 3 to 10 of equal age, sex and site, (u,) numbers.

    Where nothing is known of patients these are clusters of nearest neighbours, and no more than that.
    """
    source = np.full(len(units.truth), -1)
    unit = units.vectors / np.maximum(np.linalg.norm(units.vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    known = np.unique(units.patient, axis=0, return_inverse=True)[1].ravel() if units.patient.shape[1] else None
    known = known if known is not None and known.max() > 0 else None
    count = 0
    for first in rng.permutation(len(source)):
        if source[first] >= 0:
            continue
        free = np.flatnonzero((source < 0) & (True if known is None else known == known[first]))
        others = free[free != first]
        nearest = rng.permutation(others) if known is not None else others[np.argsort(-(unit[others] @ unit[first]))]
        size = int(rng.integers(SOURCE_SIZES[0], SOURCE_SIZES[1] + 1))
        source[[first, *nearest[: size - 1]]] = count
        count += 1
    return source


SHAPES: dict[str, Callable[[Units, float, np.random.Generator], Given]] = {
    "uniform": uniform,
    "per class": per_class,
    "confused": confused,
    "feature-dependent": feature_dependent,
    "tree-dependent": tree_dependent,
    "by source": by_source,
}


def _flip_unsure(units: Units, model: ClassifierMixin, inputs: Vectors, rate: float, rng: np.random.Generator) -> Given:
    """Draw units by the probability that a cross-fitted model gives to wrong diagnoses, and the wrong one likewise."""
    halves = StratifiedKFold(2, shuffle=True, random_state=int(rng.integers(2**31)))
    shown = cross_val_predict(model, inputs, units.truth, cv=halves, method="predict_proba") + 1e-9
    rows, known = np.arange(len(units.truth)), np.unique(units.truth)
    shown[rows, np.searchsorted(known, units.truth)] = 0.0
    doubt = shown.sum(axis=1)
    given = units.truth.copy()
    for i in rng.choice(len(rows), ceil(rate * len(rows)), replace=False, p=doubt / doubt.sum()):
        given[i] = rng.choice(known, p=shown[i] / doubt[i])
    return given


def _flip_anywhere(units: Units, chosen: NDArray[np.int64], rng: np.random.Generator) -> Given:
    given = units.truth.copy()
    shift = rng.integers(1, len(units.classes), len(chosen))
    given[chosen] = (given[chosen] + shift) % len(units.classes)
    return given


def _most_alike(units: Units) -> dict[int, Given]:
    """Name for each class the one whose mean vector is most like its own."""
    known = np.unique(units.truth)
    means = np.stack([units.vectors[units.truth == class_].mean(axis=0) for class_ in known])
    means -= units.vectors.mean(axis=0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means.T - 2 * np.eye(len(known))
    return {int(class_): known[[alike[i].argmax()]] for i, class_ in enumerate(known)}
