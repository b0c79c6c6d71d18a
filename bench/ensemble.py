"""`python -m bench.ensemble`: members joined in every way, against the best of them.

Folds, seeds and training sets are those of `bench.gain`; nothing is fitted on test. The best member is the one that a
fold's validation likes best, as `evaluate` has it. Which member is best over all test folds nobody knows before; it is
the harder rival, and stands beside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.command import markdown
from bench.gain.fitting import Fit, Run, fit_all, read
from bench.gain.plan import CEILING, Cell, arms_of
from bench.gain.report import (
    SHOWN,
    Probabilities,
    Scale,
    calibrated_on_validation,
    put_together,
    shown,
    signed,
    with_interval,
)
from bench.gain.setting import answer, cells_of, made_parser, members_of, profile_try, terms_of
from pipeline.core.errors import UserError
from pipeline.stages.evaluate.bootstrap import Estimate
from pipeline.stages.evaluate.ensemble import METHODS, pool, subsets

BEST = "best member on validation"
OVER = ("over the best on validation", "over the best in hindsight")


def main(arguments: Sequence[str]) -> int:
    """Compare; return the exit status."""
    made = made_parser("bench.ensemble", __doc__, arms=[CEILING])
    made.set_defaults(members=["lite0", "lite0_head", "clip_probe"])
    return answer(made.parse_args(arguments), "ensemble", compare)


def compare(options: argparse.Namespace, tree: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Fit what is not on disk, and hold every way to join members against the best member.

    Raises:
        UserError: fewer than two members are asked for.

    """
    if len(options.members) < 2:  # noqa: PLR2004 - one has no ensemble
        raise UserError("--members: name two or more")
    run = Run(terms_of(options, tree), members_of(options, tree), options.arms, [profile_try(tree)], arms_of)
    noises = cells_of(options)
    fit_all(run, [cell for some in noises.values() for cell in some], workers=options.workers)
    scale = Scale.of(run.terms.project)
    found: dict[str, Any] = {}
    rows = []
    for (noise, some), arm in product(noises.items(), run.arms):
        figures = {way: scale.over_seeds(said) for way, said in joined(run, some, arm).items()}
        hindsight = max(run.members, key=lambda member: figures[member][SHOWN[0]].value)
        of_arm = found.setdefault(noise, {}).setdefault(arm, {"best member in hindsight": hindsight})
        for way, of in figures.items():
            lifts = {over: _less(of, figures[rival]) for over, rival in zip(OVER, (BEST, hindsight), strict=True)}
            of_arm[way] = {name: shown(figure) for name, figure in of.items()}
            of_arm[way] |= {name: {figure: shown(of) for figure, of in lift.items()} for name, lift in lifts.items()}
            cells = [signed(lift[name]) for lift in lifts.values() for name in SHOWN[:3]]
            rows.append([noise, arm, way, *(with_interval(of[name]) for name in SHOWN), *cells])
    heads = ["noise", "arm", "who", *SHOWN, *(f"{name} {over}" for over in OVER for name in SHOWN[:3])]
    return {"members": options.members, "conditions": found}, markdown(heads, rows)


def joined(run: Run, cells: Sequence[Cell], arm: str) -> dict[str, list[Probabilities]]:
    """Return what each member, the best on validation, each way to join all, and the mean of each subset say.

    Returns:
        by way: of each seed (n, classes).

    """
    names = list(run.members)
    [tried] = run.tries
    known = {cell: [read(run.path(cell, arm, member, tried)) for member in names] for cell in cells}
    calibrated = {cell: calibrated_on_validation(fits) for cell, fits in known.items()}

    def said(way: str, chosen: Sequence[int], cell: Cell) -> tuple[NDArray[np.str_], Probabilities]:
        truth, members = calibrated[cell]
        if way == BEST:
            chosen = [_best(known[cell])]
        taken = [members[number] for number in chosen]
        whole = taken[0] if len(taken) == 1 else pool(taken, way, truth).probabilities
        return known[cell][0].image_id, whole[len(truth.actual) :]

    every = range(len(names))
    ways: dict[str, tuple[str, Sequence[int]]] = {name: ("mean", [number]) for number, name in enumerate(names)}
    ways |= {BEST: (BEST, [])} | {method: (method, every) for method in METHODS}
    ways |= {"+".join(some): ("mean", [names.index(name) for name in some]) for some in subsets(names)}
    return {name: put_together(run, cells, partial(said, *way)) for name, way in ways.items()}


def _best(fits: Sequence[Fit]) -> int:
    return max(range(len(fits)), key=lambda number: fits[number].quality)


def _less(one: Mapping[str, Estimate], other: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name: one[name] - other[name] for name in SHOWN}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
