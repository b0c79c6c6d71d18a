"""The main part: every shape of noise at every rate, all methods on the same vectors.

Methods run cell by cell, and a cell that is on disk is not run again. Figures are means over seeds; our lead is bounded
by resampling lesions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench.cache import code_digest, key_of, replacing
from bench.command import markdown
from bench.label_noise.collection import Collection, read_collection
from bench.label_noise.methods import DATALAB, OURS, UNGROUPED, rank
from bench.label_noise.planting import plant
from bench.measures import Ranking
from pipeline.stages.evaluate.bootstrap import draw_groups
from pipeline.stages.label_noise.cross_validation import cross_val_predict
from pipeline.stages.label_noise.params import LabelNoiseParams

BEST = "cleanlab, best score of the cell"
SHOWN = (OURS, BEST, DATALAB, "training loss", "FiftyOne mistakenness", "SelfClean", "k nearest neighbours")
REPORTED = (21, 22, 23)  # seeds; methods and params were chosen on 0 and 1, and 11 to 13 were looked at once
DRAWS = 1000  # of the bootstrap
GROUPING_SHOWN_AT = 0.1  # the rate at which ours is run without groups too: twice the time
METHOD = ("cross_validation", "dataset", "error_count", "knn", "logistic_regression", "noise_model", "scores")
CODE = [
    *(f"pipeline.stages.label_noise.{name}" for name in METHOD),
    *(f"bench.label_noise.{name}" for name in ("planting", "methods", "plain")),
]


Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Cell:
    """One planting: what `planting.plant` is told."""

    shape: str
    rate: float
    per: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    wrong: (n,) bool, which labels are.
    scores: (n,) of each method, higher is more suspect.
    """

    wrong: NDArray[np.bool_]
    scores: dict[str, Floats]


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Run all cells; return figures by collection, and a table."""
    collection = read_collection(options.project, options.batch, params.encoders, options.lesions)
    lesion = collection.labelled.lesion
    cells = {
        name: summarise(outcomes, lesion, draws=DRAWS, seed=0)
        for name, outcomes in run_all(collection, options, params, per=options.per)
    }
    report = {
        "images": len(collection.truth),
        "lesions": int(lesion.max()) + 1,
        "encoders": collection.encoders,
        "seeds": options.seeds,
        "cells": cells,
    }
    return {collection.name: report}, table(cells)


def run_all(
    collection: Collection, options: argparse.Namespace, params: LabelNoiseParams, *, per: Sequence[str] = ("lesion",)
) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield the name of each shape and rate that the options ask for, and what came of it, seed by seed."""
    for unit, shape, rate in tqdm(list(product(per, options.shapes, options.rates)), desc="cells", disable=None):
        cells = [Cell(shape, rate, unit, seed) for seed in options.seeds]
        name = f"{shape}, {rate:.0%}" + ("" if unit == "lesion" else ", per image")
        yield name, run_cells(collection, cells, params, cache=options.cache)


def run_cells(collection: Collection, cells: Sequence[Cell], params: LabelNoiseParams, *, cache: Path) -> list[Outcome]:
    """Plant in each cell, and let every method rank; or read it from the cache."""
    given = [collection.name, collection.digest, *_of_method(params), code_digest(CODE)]
    return [_run_cell(collection, cell, params, path=cache / f"{key_of([*given, cell])}.npz") for cell in cells]


def _of_method(params: LabelNoiseParams) -> list[Any]:
    """List the params that the ranking hangs on."""
    return [
        params.folds,
        params.neighbours,
        params.method,
        params.seed,
    ]


def _run_cell(collection: Collection, cell: Cell, params: LabelNoiseParams, *, path: Path) -> Outcome:
    if not path.exists():
        planted = plant(collection, cell.shape, rate=cell.rate, per=cell.per, seed=cell.seed)
        with threadpool_limits(limits=1):  # as the stage does
            labelled = replace(collection.labelled, given=planted.given, evidence=planted.evidence)
            predictions = cross_val_predict(labelled, params)
            ungrouped = cell.rate == GROUPING_SHOWN_AT
            scores = rank(labelled, collection.neighbours, predictions, params, ungrouped=ungrouped)
        with replacing(path) as file:
            np.savez(file, wrong=planted.wrong, **scores)  # type: ignore[arg-type]
    with np.load(path) as arrays:
        return Outcome(arrays["wrong"], {name: arrays[name] for name in arrays.files if name != "wrong"})


def summarise(outcomes: Sequence[Outcome], lesion: NDArray[np.int64], *, draws: int, seed: int) -> dict[str, Any]:
    """Average a cell's figures over its seeds and bound our lead on every competitor.

    Args:
        outcomes: one a seed, all of the same methods.
        lesion: (n,) numbers, what the bootstrap resamples.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        errors: planted, by seed. methods: by name the mean of each figure over seeds. lead: by competitor the 95%
        interval of our average precision minus its.

    """
    methods = {}
    for name in outcomes[0].scores:
        by_seed = [measure(outcome.scores[name], outcome.wrong) for outcome in outcomes]
        methods[name] = {figure: round(float(np.mean([of[figure] for of in by_seed])), 4) for figure in by_seed[0]}
    contenders = [name for name in methods if name != UNGROUPED]
    lead = paired_bootstrap(
        [{name: outcome.scores[name] for name in contenders} for outcome in outcomes],
        [outcome.wrong for outcome in outcomes],
        lesion,
        ours=OURS,
        draws=draws,
        seed=seed,
    )
    return {
        "errors": [int(outcome.wrong.sum()) for outcome in outcomes],
        "methods": methods,
        "lead": {name: [round(end, 4) for end in ends] for name, ends in lead.items()},
    }


def measure(score: Floats, wrong: NDArray[np.bool_]) -> dict[str, float]:
    """Return AUROC, average precision, precision at the number of errors and recall at twice that."""
    ranking, errors = Ranking(score, wrong), int(wrong.sum())
    return {
        "auroc": ranking.auroc(),
        "average_precision": ranking.average_precision(),
        "precision_at_errors": ranking.found_among(errors) / errors,
        "recall_at_twice": ranking.found_among(min(2 * errors, len(score))) / errors,
    }


def paired_bootstrap(
    scores: Sequence[Mapping[str, Floats]],
    wrong: list[NDArray[np.bool_]],
    lesion: NDArray[np.int64],
    *,
    ours: str,
    draws: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Bound how much better the average precision of `ours` is than that of each other, by resampling lesions.

    A draw resamples the lesions once and applies to every seed and method; a difference is the mean over seeds.

    Args:
        scores: for each seed of the planting, the (n,) scores of each method.
        wrong: for each seed of the planting, (n,).
        lesion: (n,) numbers.
        ours: the method that the others are held against.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        for every other method the 2.5% and 97.5% quantiles of the difference.

    """
    rankings = [
        {name: Ranking(score, bad) for name, score in of.items()} for of, bad in zip(scores, wrong, strict=True)
    ]
    leads: dict[str, list[float]] = {name: [] for name in scores[0] if name != ours}
    for drawn in draw_groups(int(lesion.max()) + 1, draws, np.random.default_rng(seed)):
        weight = drawn[lesion].astype(np.float64)
        own = [of[ours].average_precision(weight) for of in rankings]
        for name, differences in leads.items():
            others = [of[name].average_precision(weight) for of in rankings]
            differences.append(float(np.mean(np.subtract(own, others))))
    return {name: (float(np.quantile(v, 0.025)), float(np.quantile(v, 0.975))) for name, v in leads.items()}


def table(cells: dict[str, dict[str, Any]]) -> str:
    """Lay out average precision by cell, and how our lead on the best competitor is bounded."""
    rows = []
    for name, cell in cells.items():
        methods = {method: figures["average_precision"] for method, figures in cell["methods"].items()}
        best_score = max((m for m in methods if m.startswith("cleanlab")), key=methods.__getitem__)
        shown = methods | {BEST: methods[best_score]}
        best = max((m for m in methods if m not in (OURS, UNGROUPED)), key=methods.__getitem__)
        low, high = cell["lead"][best]
        rows.append([name, *(f"{shown[method]:.3f}" for method in SHOWN), best, f"{low:+.3f} to {high:+.3f}"])
    return markdown(["cell", *SHOWN, "best competitor", "lead on it, 95%"], rows)
