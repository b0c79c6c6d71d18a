"""Runs methods on planted labels, cell by cell; a cell that is on disk is not run again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.duplicates.cache import code_digest, key_of
from bench.label_noise import rivals
from bench.label_noise.collection import Collection
from bench.label_noise.planting import Planted, plant
from pipeline.stages.label_noise.cross_validation import Predictions, cross_val_predict
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.logistic_regression import fit_classifier
from pipeline.stages.label_noise.noise_model import NoiseSettings
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.scores import NO_COPY, score_labels

Array = np.ndarray[Any, Any]

OURS = "ours"
UNGROUPED = "ours, folds that ignore lesions"
DATALAB = "cleanlab Datalab, folds that ignore lesions"  # its defaults, as tutorials use it
GROUPING_SHOWN_AT = 0.1  # the rate at which ours is run without groups too: twice the time
METHOD = ("cross_validation", "dataset", "knn", "logistic_regression", "noise_model", "scores")
CODE = [
    *(f"pipeline.stages.label_noise.{name}" for name in METHOD),
    *(f"bench.label_noise.{name}" for name in ("planting", "rivals", "run")),
]


@dataclass(frozen=True)
class Cell:
    """One planting.

    shape, rate, per, seed: see `planting.plant`.
    """

    shape: str
    rate: float
    per: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    wrong: (n,) which labels are.
    scores: (n,) of each method, higher is more suspect.
    """

    wrong: Array
    scores: dict[str, Array]


def run_cells(collection: Collection, cells: Sequence[Cell], params: LabelNoiseParams, *, cache: Path) -> list[Outcome]:
    """Plant in each cell, and let every method rank; or read it from the cache."""
    given = [collection.name, collection.digest, *_of_method(params), code_digest(CODE)]
    return [_run_cell(collection, cell, params, path=cache / f"{key_of([*given, cell])}.npz") for cell in cells]


def _run_cell(collection: Collection, cell: Cell, params: LabelNoiseParams, *, path: Path) -> Outcome:
    if not path.exists():
        planted = plant(collection, cell.shape, rate=cell.rate, per=cell.per, seed=cell.seed)
        with threadpool_limits(limits=1):  # as the stage does
            scores = _rank(collection, planted, params, ungrouped=cell.rate == GROUPING_SHOWN_AT)
        buffer = io.BytesIO()
        np.savez(buffer, wrong=planted.wrong, **scores)  # type: ignore[arg-type]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(buffer.getvalue())
        partial.replace(path)
    with np.load(path) as arrays:
        return Outcome(arrays["wrong"], {name: arrays[name] for name in arrays.files if name != "wrong"})


def _of_method(params: LabelNoiseParams) -> list[Any]:
    """List the params that the ranking hangs on."""
    return [
        params.folds,
        params.repeats,
        params.components,
        params.regularization_c,
        params.neighbours,
        params.initial_noise_rate,
        params.method,
        params.seed,
    ]


def _rank(collection: Collection, planted: Planted, params: LabelNoiseParams, *, ungrouped: bool) -> dict[str, Array]:
    """Let every method rank the images, ours also with folds that ignore lesions if asked; float32 scores."""
    neighbours = collection.neighbours
    labelled = replace(collection.labelled, given=planted.given, evidence=planted.evidence)
    alone, given = ignoring_lesions(labelled), labelled.given
    predictions = cross_val_predict(labelled, params)
    # What cleanlab is told is the same without a noise model.
    hurried = NoiseSettings(params.initial_noise_rate, correction_rounds=0, weak_components=())
    naive = cross_val_predict(alone, params, noise=None if ungrouped else hurried)
    scores = {
        OURS: ours(labelled, predictions, params),
        DATALAB: rivals.datalab(given, naive.plain),
        **rivals.cleanlab_scores(given, predictions.plain),
        "FiftyOne mistakenness": rivals.mistakenness(given, predictions.plain),
        "SelfClean": rivals.intra_extra_distance(neighbours, given),
        "k nearest neighbours": rivals.neighbour_disagreement(neighbours, given),
        "training loss": rivals.training_loss(given, having_seen_all(labelled, params)),
    }
    if ungrouped:
        scores[UNGROUPED] = ours(alone, naive, params)
    return {name: score.astype(np.float32) for name, score in scores.items()}


def ignoring_lesions(labelled: Dataset) -> Dataset:
    """Take every image for a lesion and a group of its own."""
    each = np.arange(len(labelled.given))
    return replace(labelled, lesion=each, group=each)


def having_seen_all(labelled: Dataset, params: LabelNoiseParams) -> Array:
    """Ask classifiers that learnt from every image, the mean over encoders: (n, classes)."""
    shown = []
    for vectors in labelled.views:
        classifier = fit_classifier(
            vectors,
            labelled.context,
            labelled.given,
            group=labelled.group,
            count=labelled.lesion_weights,
            classes=len(labelled.classes),
            components=params.components,
            regularization_c=params.regularization_c,
            noise=NoiseSettings(params.initial_noise_rate, correction_rounds=0),
        )
        shown.append(classifier.predict_proba(vectors, labelled.context)[0])
    found: Array = np.mean(shown, axis=0)
    return found


def ours(labelled: Dataset, predictions: Predictions, params: LabelNoiseParams) -> Array:
    """Rank as the stage does, copies left aside."""
    alone = np.full(len(labelled.given), NO_COPY)
    floor = params.conflict_error_probability
    scored = score_labels(labelled, predictions, alone, method=params.method, conflict_error_probability=floor)
    return scored.error_probability
