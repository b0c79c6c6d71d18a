"""Whether an error probability means what it says, and whether the audit's interval holds the true number of errors.

Reliability: planted errors among the images that were given a probability. Counting: the audit's strata beside a plain
sample with the exact binomial interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.command import markdown
from bench.label_noise.collection import read_collection
from bench.label_noise.methods import OURS
from bench.label_noise.run import run_all
from bench.measures import CONFIDENCE, exact_interval
from pipeline.stages.label_noise.audit_sample import STRATA, count_errors, draw_sample
from pipeline.stages.label_noise.params import LabelNoiseParams

BINS = 10
RUNS = 50  # of the audit


def reliability(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Bin error probabilities of each shape and rate, pooled over seeds; draw the plot beside the JSON."""
    report = {}
    collection = read_collection(options.project, options.batch, params.encoders, options.lesions)
    for name, outcomes in run_all(collection, options, params):
        probability = np.concatenate([outcome.scores[OURS] for outcome in outcomes]).astype(np.float64)
        report[name] = bin_up(probability, np.concatenate([outcome.wrong for outcome in outcomes]))
    if options.plot:
        draw(report, options.plot)
    rows = [
        [name, f"{one['calibration_error']:.3f}", f"{one['expected_by_planted']:.2f}"] for name, one in report.items()
    ]
    return {collection.name: report}, markdown(
        ["noise", "calibration error", "errors expected by errors planted"], rows
    )


def counting(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Audit each shape and rate of noise in many seeded runs; return figures by collection, and a table."""
    report = {}
    collection = read_collection(options.project, options.batch, params.encoders, options.lesions)
    for name, outcomes in run_all(collection, options, params):
        audits = []
        for seed in range(RUNS):
            planted = outcomes[seed % len(outcomes)]
            scores = planted.scores[OURS]
            audits.append(count(scores, planted.wrong, images=params.audit.images, strata=STRATA, seed=seed))
        mean = {figure: float(np.mean([one[figure] for one in audits])) for figure in audits[0]}
        report[name] = {
            "runs": RUNS,
            "covered": round(RUNS * mean["covers"]),
            "binomial_covered": round(RUNS * mean["binomial_covers"]),
            "width_by_binomial": round(mean["width"] / mean["binomial_width"], 3),
            "width_images": round(mean["width"]),
            "mean_miss_images": round(mean["miss"], 1),
        }
    rows = [
        [name, one["covered"], one["binomial_covered"], f"{one['width_by_binomial']:.2f}"]
        for name, one in report.items()
    ]
    return {collection.name: report}, markdown(["noise", "covered, of 50", "plain binomial", "width beside it"], rows)


def bin_up(probability: NDArray[np.float64], wrong: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare probabilities, (n,), with shares of errors in ten bins of equal width.

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


def draw(report: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw a line for each shape of noise."""
    with mpl.rc_context({"svg.hashsalt": "reliability"}):
        figure = Figure(figsize=(5, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, one in report.items():
            axes.plot([b["expected"] for b in one["bins"]], [b["wrong"] for b in one["bins"]], marker="o", label=name)
        axes.set(xlabel="error probability given", ylabel="share of labels that are wrong", xlim=(0, 1), ylim=(0, 1))
        axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})


def count(
    error_probability: NDArray[np.floating], wrong: NDArray[np.bool_], *, images: int, strata: int, seed: int
) -> dict[str, float]:
    """Audit planted labels once, by strata and by a plain sample.

    Args:
        error_probability: (n,).
        wrong: (n,) the planted truth, which the audit's people are taken to see.
        images: to look at.
        strata: of the audit.
        seed: of the samples.

    """
    rng = np.random.default_rng(seed)
    drawn = draw_sample(  # scores are kept in single precision
        error_probability,  # type: ignore[arg-type]
        count=images,
        strata=strata,
        rng=rng,
    )
    found = wrong[drawn.images]
    low, estimate, high = count_errors(drawn.stratum, found, sizes=drawn.sizes, confidence=CONFIDENCE, rng=rng)
    plain = rng.choice(len(wrong), images, replace=False)
    least, most = exact_interval(int(wrong[plain].sum()), images)
    return {
        "covers": float(low <= wrong.sum() <= high),
        "width": high - low,
        "miss": estimate - float(wrong.sum()),
        "binomial_covers": float(least * len(wrong) <= wrong.sum() <= most * len(wrong)),
        "binomial_width": (most - least) * len(wrong),
    }
