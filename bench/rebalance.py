"""`python -m bench.rebalance`: policies for rare classes, and losses, on equal terms.

Every one gets the same training sets, seeds and learning rates to try; of these each fold takes what its validation
likes best. Errors may be planted, since what is best for right labels need not be so for wrong ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bench.command import markdown
from bench.gain.fitting import Run, Try, fit_all
from bench.gain.plan import CEILING, arms_of
from bench.gain.report import SHOWN, Scale, predict, shown, signed, with_interval
from bench.gain.setting import answer, cells_of, made_parser, members_of, scored, terms_of
from pipeline.models.params import LossName

Contender = tuple[LossName, str]  # a loss, and a policy for rare classes

PLAIN: Contender = ("cross_entropy", "none")
BALANCES = ("class_weights", "effective_number", "square_root", "undersample", "oversample")
LOSSES: tuple[LossName, ...] = ("focal", "logit_adjusted", "generalized_cross_entropy", "symmetric_cross_entropy")
CONTENDERS: tuple[Contender, ...] = (
    PLAIN,
    *(("cross_entropy", policy) for policy in BALANCES),
    *((loss, "none") for loss in LOSSES),
)
RATE_FACTORS = (0.3, 1.0, 3.0)


def main(arguments: Sequence[str]) -> int:
    """Compare; return the exit status."""
    made = made_parser("bench.rebalance", __doc__, arms=[CEILING])
    made.add_argument("--rate-factors", nargs="+", type=float, default=list(RATE_FACTORS), help="of the learning rate")
    return answer(made.parse_args(arguments), "rebalance", compare)


def compare(options: argparse.Namespace, tree: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Fit what is not on disk, and hold every contender against plain cross-entropy."""
    tries = {one: [Try(one[0], one[1], factor) for factor in options.rate_factors] for one in CONTENDERS}
    every = [one for some in tries.values() for one in some]
    run = Run(terms_of(options, tree), members_of(options, tree), options.arms, every, arms_of)
    noises = cells_of(options)
    fit_all(run, [cell for some in noises.values() for cell in some], workers=options.workers)
    scale = Scale.of(run.terms.project)
    recalls = [f"recall {name}" for name in scale.classes]
    found: dict[str, Any] = {}
    rows = []
    for (noise, some), (who, members), arm in product(noises.items(), scored(run).items(), run.arms):
        figures = {one: scale.over_seeds(predict(run, some, arm, members, own).by_seed) for one, own in tries.items()}
        of_arm = found.setdefault(noise, {}).setdefault(who, {}).setdefault(arm, {})
        for one, of in figures.items():
            lifts = {name: of[name] - figures[PLAIN][name] for name in SHOWN}
            over = {"over none": {name: shown(lifts[name]) for name in SHOWN}}
            of_arm[" ".join(one)] = {name: shown(of[name]) for name in of} | over
            lift = "" if one == PLAIN else signed(lifts[SHOWN[0]])
            rows.append([noise, who, arm, *one, *(with_interval(of[name]) for name in (*SHOWN, *recalls)), lift])
    heads = ["noise", "member", "arm", "loss", "policy", *SHOWN, *recalls, f"{SHOWN[0]} over none"]
    return {"rate_factors": options.rate_factors, "conditions": found}, markdown(heads, rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
