"""What fine-tuned members add: planned where the vectors are, trained where a GPU is, measured where both meet.

`python -m bench.label_noise.fine_tuned FOLDER …` plants labels; `bench.label_noise.cross_fitting` trains the members of
a profile on them; `python -m bench.label_noise fine-tuned …` ranks with and without what they say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench.cache import replacing
from bench.command import markdown, parser, status_of
from bench.label_noise import methods
from bench.label_noise.collection import Collection, read_collection
from bench.label_noise.cross_fitting import PLAN, read_fitted, read_params
from bench.label_noise.methods import OURS, ours
from bench.label_noise.planting import SHAPES, plant
from bench.label_noise.run import BEST, DRAWS, REPORTED, Cell, Outcome, summarise
from pipeline.core.errors import UserError
from pipeline.params import read_tree
from pipeline.stages.label_noise.cross_validation import cross_val_predict
from pipeline.stages.label_noise.params import LabelNoiseParams

WITHOUT = "ours, without the members"
ALONE = "the members' loss alone"


def plan(collection: Collection, cells: Sequence[Cell], folder: Path) -> None:
    """Write what is to be learnt: planted labels of every cell."""
    labelled = collection.labelled
    given = {
        f"given {_name(cell)}": plant(collection, cell.shape, rate=cell.rate, per=cell.per, seed=cell.seed).given
        for cell in cells
    }
    shares = labelled.lesion_weights.astype(np.float32)
    with replacing(folder / PLAN) as file:
        np.savez_compressed(
            file,
            image_id=labelled.image_id,
            group=labelled.group,
            weight=shares,
            classes=len(labelled.classes),
            **given,  # type: ignore[arg-type]
        )


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Rank with and without the members; return figures by collection, and a table."""
    if options.fitted is None:
        raise UserError("fine-tuned needs --fitted FOLDER, which `python -m bench.label_noise.cross_fitting` fills")
    collection = read_collection(options.project, options.batch, params.encoders, options.lesions)
    fitted = read_params(options.profile)
    outcomes: dict[str, list[Outcome]] = {}
    seeds = set()
    for name, members in read_fitted(options.fitted, fitted):
        cell = _cell(name)
        seeds.add(cell.seed)
        outcomes.setdefault(f"{cell.shape}, {cell.rate:.0%}", []).append(_rank(collection, cell, members, params))
    cells = {
        name: summarise(of_cell, collection.labelled.lesion, draws=DRAWS, seed=0) for name, of_cell in outcomes.items()
    }
    report = {
        "images": len(collection.truth),
        "members": {name: member.model_dump() for name, member in fitted.members.items()},
        "folds": fitted.folds,
        "seeds": sorted(seeds),
        "cells": cells,
    }
    return {collection.name: report}, _table(cells)


def _rank(
    collection: Collection, cell: Cell, members: tuple[NDArray[np.float64], ...], params: LabelNoiseParams
) -> Outcome:
    planted = plant(collection, cell.shape, rate=cell.rate, per=cell.per, seed=cell.seed)
    labelled = replace(collection.labelled, given=planted.given, evidence=planted.evidence)
    told = replace(labelled, members=members)
    with threadpool_limits(limits=1):
        without, predictions = (cross_val_predict(one, params) for one in (labelled, told))
    scores = {
        OURS: ours(told, predictions, params),
        WITHOUT: ours(labelled, without, params),
        **methods.cleanlab_scores(planted.given, predictions.pred_probs),
        "FiftyOne mistakenness": methods.mistakenness(planted.given, predictions.pred_probs),
        ALONE: methods.training_loss(planted.given, np.mean(members, axis=0)),
    }
    return Outcome(planted.wrong, {name: score.astype(np.float32) for name, score in scores.items()})


def _table(cells: dict[str, dict[str, Any]]) -> str:
    """Lay out average precision by cell, and how much the members add."""
    shown = (OURS, WITHOUT, BEST, "FiftyOne mistakenness", ALONE)
    rows = []
    for name, cell in cells.items():
        found = {method: figures["average_precision"] for method, figures in cell["methods"].items()}
        found[BEST] = max(value for method, value in found.items() if method.startswith("cleanlab"))
        low, high = cell["lead"][WITHOUT]
        rows.append([name, *(f"{found[method]:.3f}" for method in shown), f"{low:+.3f} to {high:+.3f}"])
    return markdown(["cell", *shown, "lead on ours without, 95%"], rows)


def _name(cell: Cell) -> str:
    return f"{cell.shape}|{cell.rate}|{cell.seed}"


def _cell(name: str) -> Cell:
    shape, rate, seed = name.split("|")
    return Cell(shape, float(rate), "lesion", int(seed))


def main(arguments: Sequence[str]) -> int:
    """Plan what the arguments say; return the exit status."""
    made = parser("bench.label_noise.fine_tuned", __doc__, "folder", "--lesions", required=["--project", "--batch"])
    add = made.add_argument
    add("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="of the noise (default: all)")
    add("--rates", nargs="+", type=float, default=[0.1], help="shares of wrong labels")
    add("--seeds", nargs="+", type=int, default=list(REPORTED), help="of the plantings (default: the reported)")
    options = made.parse_args(arguments)
    cells = [
        Cell(shape, rate, "lesion", seed) for seed, rate, shape in product(options.seeds, options.rates, options.shapes)
    ]

    def run_plan() -> None:
        encoders = read_tree(options.project / "params.yaml")["encoders"]
        plan(read_collection(options.project, options.batch, encoders, options.lesions), cells, options.folder)

    return status_of(run_plan)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
