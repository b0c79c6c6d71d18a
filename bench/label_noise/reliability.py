"""Whether an error probability means what it says: planted errors among the images that were given it."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bench.label_noise.collection import read_collection
from bench.label_noise.run import OURS, Cell, run_cells
from pipeline.stages.label_noise.params import LabelNoiseParams

Array = np.ndarray[Any, Any]

BINS = 10


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Bin error probabilities of each shape and rate, pooled over seeds; draw the plot beside the JSON."""
    collection = read_collection(options.project, options.batch, params.encoders)
    found = {}
    for shape, rate in product(options.shapes, options.rates):
        seeded = [Cell(shape, rate, "lesion", seed) for seed in options.seeds]
        outcomes = run_cells(collection, seeded, params, cache=options.cache)
        probability = np.concatenate([outcome.scores[OURS] for outcome in outcomes]).astype(np.float64)
        found[f"{shape}, {rate:.0%}"] = bin_up(probability, np.concatenate([outcome.wrong for outcome in outcomes]))
    if options.plot:
        draw(found, options.plot)
    lines = ["| noise | calibration error | errors expected by errors planted |", "|---|---|---|"]
    lines += [
        f"| {name} | {one['calibration_error']:.3f} | {one['expected_by_planted']:.2f} |" for name, one in found.items()
    ]
    return {options.batch: found}, "\n".join(lines)


def bin_up(probability: Array, wrong: Array) -> dict[str, Any]:
    """Compare probabilities with shares of errors in ten bins of equal width.

    Returns:
        bins: images, mean probability and share of errors of each bin that holds any. calibration_error: the mean over
        images of the difference between the two. expected_by_planted: the sum of probabilities by the errors planted.

    """
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    bins = [
        {
            "images": int((place == i).sum()),
            "expected": round(float(probability[place == i].mean()), 4),
            "wrong": round(float(wrong[place == i].mean()), 4),
        }
        for i in np.unique(place)
    ]
    gap = sum(one["images"] * abs(one["expected"] - one["wrong"]) for one in bins) / len(probability)
    return {
        "bins": bins,
        "calibration_error": round(gap, 4),
        "expected_by_planted": round(float(probability.sum() / wrong.sum()), 3),
    }


def draw(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw a line for each shape of noise."""
    with mpl.rc_context({"svg.hashsalt": "reliability"}):
        figure = Figure(figsize=(5, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, one in found.items():
            axes.plot([b["expected"] for b in one["bins"]], [b["wrong"] for b in one["bins"]], marker="o", label=name)
        axes.set(xlabel="error probability given", ylabel="share of labels that are wrong", xlim=(0, 1), ylim=(0, 1))
        axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})
