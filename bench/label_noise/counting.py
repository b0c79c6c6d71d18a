"""Whether the audit's interval holds the true number of errors, and how wide it is beside the exact binomial one."""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any

import numpy as np

from bench.intervals import CONFIDENCE, exact_interval
from bench.label_noise.collection import read_collection
from bench.label_noise.run import OURS, Cell, run_cells
from pipeline.stages.label_noise.audit_sample import STRATA, count_errors, draw_sample
from pipeline.stages.label_noise.params import LabelNoiseParams

Array = np.ndarray[Any, Any]

RUNS = 50


def count(error_probability: Array, wrong: Array, *, images: int, strata: int, seed: int) -> dict[str, float]:
    """Audit planted labels once, by strata and by a plain sample.

    Args:
        error_probability: (n,).
        wrong: (n,) the planted truth, which the audit's people are taken to see.
        images: to look at.
        strata: of the audit.
        seed: of the samples.

    """
    rng = np.random.default_rng(seed)
    drawn = draw_sample(error_probability, count=images, strata=strata, rng=rng)
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


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Audit each shape and rate of noise in many seeded runs; return figures by collection, and a table."""
    collection = read_collection(options.project, options.batch, params.encoders)
    found = {}
    for shape, rate in product(options.shapes, options.rates):
        cells = [Cell(shape, rate, "lesion", seed) for seed in options.seeds]
        outcomes = run_cells(collection, cells, params, cache=options.cache)
        audits = [
            count(
                (planted := outcomes[run_ % len(outcomes)]).scores[OURS],
                planted.wrong,
                images=params.audit.images,
                strata=STRATA,
                seed=run_,
            )
            for run_ in range(RUNS)
        ]
        mean = {name: float(np.mean([audit[name] for audit in audits])) for name in audits[0]}
        found[f"{shape}, {rate:.0%}"] = {
            "runs": RUNS,
            "covered": round(RUNS * mean["covers"]),
            "binomial_covered": round(RUNS * mean["binomial_covers"]),
            "width_by_binomial": round(mean["width"] / mean["binomial_width"], 3),
            "width_images": round(mean["width"]),
            "mean_miss_images": round(mean["miss"], 1),
        }
    lines = ["| noise | covered, of 50 | plain binomial | width beside it |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {one['covered']} | {one['binomial_covered']} | {one['width_by_binomial']:.2f} |"
        for name, one in found.items()
    ]
    return {options.batch: found}, "\n".join(lines)
