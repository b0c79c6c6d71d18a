"""Sets as small as people have them: lesions drawn from a collection, an image each, with errors planted among them.

Every seed draws other lesions and plants other errors, so seeds are what differences are tested over: ours beside each
competitor's best score of a cell, by a paired t-test, and Holm's correction over all cells (Holm 1979).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench.cache import code_digest, key_of, replacing
from bench.command import markdown
from bench.label_noise.collection import Collection, read_collection
from bench.label_noise.methods import OURS, rank
from bench.label_noise.planting import Planted, plant
from bench.label_noise.run import CODE
from bench.measures import Ranking
from pipeline.stages.label_noise.cross_validation import cross_val_predict
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.error_count import error_interval
from pipeline.stages.label_noise.params import LabelNoiseParams

CLEAN = "no error"
FEWEST = 40  # planted errors, from which their number is expected within BOUNDS
BOUNDS = (0.7, 1.4)


@dataclass(frozen=True)
class Cell:
    """What is drawn and planted: how many lesions, what `planting.plant` is told, and the seed of both."""

    size: int
    shape: str
    rate: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    wrong: planted errors.
    expected: errors, by our probabilities.
    bounds: of the interval round them.
    precision: average precision of each method; none where nothing is planted.
    """

    wrong: int
    expected: float
    bounds: tuple[float, float]
    precision: dict[str, float]


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Run all cells; return figures by collection, and a table."""
    collection = read_collection(options.project, options.batch, params.encoders, options.lesions)
    kinds = [*product(options.shapes, [rate for rate in options.rates if rate > 0])]
    kinds += [(CLEAN, 0.0)] if 0.0 in options.rates else []
    cells = {}
    for size, (shape, rate) in tqdm([*product(options.sizes, kinds)], desc="cells", disable=None):
        outcomes = [
            outcome(collection, Cell(size, shape, rate, seed), params, cache=options.cache) for seed in options.seeds
        ]
        cells[f"{size}, {shape}, {rate:.0%}"] = summarise(outcomes)
    corrected = holm({name: cell["p"] for name, cell in cells.items() if "p" in cell})
    for name, p in corrected.items():
        cells[name]["p_holm"] = round(p, 4)
    report = {"lesions": len(collection.truth), "encoders": collection.encoders, "seeds": options.seeds, "cells": cells}
    return {collection.name: report}, table(cells)


def draw(labelled: Dataset, size: int, rng: np.random.Generator) -> Dataset:
    """Draw lesions, and of each the first image: (size,) images."""
    _, first = np.unique(labelled.lesion, return_index=True)
    rows = np.sort(rng.choice(first, min(size, len(first)), replace=False))
    present, given = np.unique(labelled.given[rows], return_inverse=True)
    alone = np.arange(len(rows))
    return replace(
        labelled,
        image_id=labelled.image_id[rows],
        classes=[labelled.classes[i] for i in present],
        given=given,
        vectors=labelled.vectors[rows],
        layers=tuple(layer[rows] for layer in labelled.layers),
        further=tuple(layer[rows] for layer in labelled.further),
        members=tuple(member[rows] for member in labelled.members),
        context=labelled.context[rows],
        evidence=labelled.evidence[rows],
        split=labelled.split[rows],
        group=alone,
        lesion=alone,
        copy_group=alone,
        removed=labelled.removed[rows],
        reference=labelled.reference[rows],
    )


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Average over seeds, and hold ours against the best score of each competitor.

    Returns:
        errors, expected and the interval's bounds, by seed; average precision of each method; the best competitor,
        our lead on it and the two-sided p of the paired t-test.

    """
    errors, expected = [one.wrong for one in outcomes], [round(one.expected, 2) for one in outcomes]
    counted = {"errors": errors, "expected": expected, "bounds": [np.round(one.bounds, 1).tolist() for one in outcomes]}
    if not outcomes[0].precision:
        return counted
    by_method = {name: np.array([one.precision[name] for one in outcomes]) for name in outcomes[0].precision}
    best = max((name for name in by_method if name != OURS), key=lambda name: by_method[name].mean())
    lead = by_method[OURS] - by_method[best]
    p = float(ttest_rel(by_method[OURS], by_method[best]).pvalue) if len(lead) > 1 and lead.std() > 0 else 1.0
    return counted | {
        "average_precision": {name: round(float(values.mean()), 4) for name, values in by_method.items()},
        "best_competitor": best,
        "lead": round(float(lead.mean()), 4),
        "lead_standard_error": round(float(lead.std(ddof=1) / np.sqrt(len(lead))), 4) if len(lead) > 1 else None,
        "p": round(p, 6),
    }


def holm(p: dict[str, float]) -> dict[str, float]:
    """Correct p values for their number (Holm 1979)."""
    corrected, least = {}, 0.0
    for i, name in enumerate(sorted(p, key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - i) * p[name]))
        corrected[name] = least
    return corrected


def within_bounds(cell: dict[str, Any]) -> tuple[int, int]:
    """Count the runs with enough errors, and those of them whose number of errors is expected within bounds."""
    ratios = [of / by for of, by in zip(cell["expected"], cell["errors"], strict=True) if by >= FEWEST]
    return sum(BOUNDS[0] <= ratio <= BOUNDS[1] for ratio in ratios), len(ratios)


def held(cell: dict[str, Any]) -> int:
    """Count the runs whose interval holds the number of errors."""
    return sum(low <= by <= high for (low, high), by in zip(cell["bounds"], cell["errors"], strict=True))


def table(cells: dict[str, dict[str, Any]]) -> str:
    """Lay out average precision by cell, our lead on the best competitor, and how many errors are expected."""
    rows = []
    for name, cell in cells.items():
        if "lead" not in cell:
            rows.append(
                [name, "", "", "", "", f"{np.sum(cell['expected']):.1f} errors expected of none in all seeds", ""]
            )
            continue
        found, count = within_bounds(cell)
        ratios = [of / by for of, by in zip(cell["expected"], cell["errors"], strict=True)]
        precision, best = cell["average_precision"], cell["best_competitor"]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}" + (f" ({found} of {count} within)" if count else "")
        lead = f"{cell['lead']:+.3f} ± {cell['lead_standard_error'] or 0:.3f}"
        kept = f"{held(cell)} of {len(ratios)}"
        rows.append([name, f"{precision[OURS]:.3f}", f"{precision[best]:.3f}", best, lead, spread, kept])
    heads = ["cell", "ours", "best competitor", "which", "lead ± s.e.", "expected by planted", "interval holds"]
    return markdown(heads, rows)


def outcome(collection: Collection, cell: Cell, params: LabelNoiseParams, *, cache: Path) -> Outcome:
    """Draw, plant and let every method rank; or read it from the cache."""
    given = [collection.name, collection.digest, params.folds, params.neighbours, params.method, code_digest(CODE)]
    path = cache / f"sizes {key_of([*given, *astuple(cell)])}.npz"
    if not path.exists():
        wrong, bounds, scores = _rank(collection, cell, params)
        with replacing(path) as file:
            np.savez(file, wrong=wrong, bounds=bounds, **scores)  # type: ignore[arg-type]
    with np.load(path) as arrays:
        wrong = arrays["wrong"]
        precision = {
            name: Ranking(arrays[name], wrong).average_precision()
            for name in arrays.files
            if name not in {"wrong", "bounds"} and wrong.any()
        }
        low, high = arrays["bounds"].tolist()
        return Outcome(int(wrong.sum()), float(arrays[OURS].sum()), (low, high), precision)


def _rank(
    collection: Collection, cell: Cell, params: LabelNoiseParams
) -> tuple[NDArray[np.bool_], tuple[float, float], dict[str, NDArray[np.float32]]]:
    few = draw(collection.labelled, cell.size, np.random.default_rng([cell.seed, cell.size, 7]))
    drawn = Collection(collection.name, few, collection.encoders)
    planted = Planted(few.given, np.zeros(len(few.given), bool), few.evidence)
    if cell.rate > 0:
        planted = plant(drawn, cell.shape, rate=cell.rate, per="lesion", seed=cell.seed)
    labelled = replace(few, given=planted.given, evidence=planted.evidence)
    with threadpool_limits(limits=1):  # as the stage does
        predictions = cross_val_predict(labelled, params)
        scores = rank(labelled, drawn.neighbours, predictions, params, ungrouped=False)
    bounds = error_interval(labelled, predictions, scores[OURS].astype(np.float64))
    return planted.wrong, bounds or (0.0, float(len(few.given))), scores
