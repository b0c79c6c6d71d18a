"""`python -m bench.gain PART`: what cleansing gains, what leakage costs, how far shortcuts get.

Each part fits what is not on disk yet, prints a table and writes its section of the JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bench.command import markdown
from bench.gain import leakage, report, shortcuts
from bench.gain.fitting import Run, Try, fit_all
from bench.gain.plan import CEILING, PUBLISHED, arms_of
from bench.gain.report import SHOWN, Scale, predict, share, shown, signed, with_interval
from bench.gain.setting import answer, cells, cells_of, made_parser, members_of, profile_try, scored, terms_of
from pipeline.stages.evaluate.bootstrap import Estimate

Found = tuple[dict[str, Any], str]

ARMS = ["raw", "dedup", "clean", "curated", "random_removal", CEILING]
BASE, CONTROL = "raw", "random_removal"
TRIES = (
    Try("cross_entropy", "class_weights"),
    Try("cross_entropy", "none"),
    Try("cross_entropy", "square_root"),
    Try("focal", "class_weights"),
    Try("logit_adjusted", "none"),
    Try("generalized_cross_entropy", "class_weights"),
    Try("symmetric_cross_entropy", "class_weights"),
)


def main(arguments: Sequence[str]) -> int:
    """Run one part; return the exit status."""
    options = _parser().parse_args(arguments)
    return answer(options, options.part, PARTS[options.part])


def gain(options: argparse.Namespace, tree: Mapping[str, Any]) -> Found:
    """Hold every arm against `raw`: under the profile's recipe, and under the best on its own validation."""
    own = profile_try(tree)
    tries = [own, *(one for one in TRIES if one != own and one.name in options.tries)]
    choices = {f"the profile's, {own.name}": [own]} | ({"the best on validation": tries} if len(tries) > 1 else {})
    run = Run(terms_of(options, tree), members_of(options, tree), options.arms, tries, arms_of)
    noises = cells_of(options)
    fit_all(run, [cell for some in noises.values() for cell in some], workers=options.workers)
    scale = Scale.of(run.terms.project)
    found: dict[str, Any] = {}
    rows = []
    for noise, some in noises.items():
        facts = report.mean_facts(run, some)
        found[noise] = {"decisions": facts.get("decisions", 0), "sets": {arm: facts[arm] for arm in run.arms}}
        for (who, members), (recipe, chosen) in product(scored(run).items(), choices.items()):
            predicted = {arm: predict(run, some, arm, members, chosen) for arm in run.arms}
            figures = {arm: scale.over_seeds(one.by_seed) for arm, one in predicted.items()}
            taken = {arm: {"taken": one.taken} for arm, one in predicted.items()}
            compared = {arm: taken[arm] | compare(arm, figures) for arm in run.arms}
            found[noise].setdefault(who, {})[recipe] = compared
            for arm, of in figures.items():
                absolute = [f"{of[name].value:.3f}" for name in SHOWN]
                lifts = [signed(of[name] - figures[BASE][name]) if arm != BASE else "" for name in SHOWN]
                counts = [facts[arm]["train"], facts[arm]["wrong"]]
                rows.append([noise, who, recipe, arm, *counts, *absolute, *lifts])
    heads = ["noise", "member", "recipe", "arm", "train", "wrong", *SHOWN, *(f"{name} over {BASE}" for name in SHOWN)]
    return {"hours": options.hours, "conditions": found}, markdown(heads, rows)


def compare(arm: str, figures: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """Write an arm's figures, what it gains on raw and on the control, and the share of the way to right labels."""
    own = figures[arm]
    entry: dict[str, Any] = {name: shown(figure) for name, figure in own.items()}
    for other in {BASE, CONTROL} & (figures.keys() - {arm}):
        entry[f"over {other}"] = {name: shown(own[name] - figures[other][name]) for name in SHOWN}
    if {BASE, CEILING} <= figures.keys() - {arm}:
        whole = {name: figures[CEILING][name] - figures[BASE][name] for name in SHOWN}
        entry["share of the way"] = {name: shown(share(own[name] - figures[BASE][name], whole[name])) for name in SHOWN}
    return entry


def leak(options: argparse.Namespace, tree: Mapping[str, Any]) -> Found:
    """Hold image-level splits against lesion-level ones on the same test images."""
    arms = (leakage.BY_IMAGE, leakage.BY_LESION)
    run = Run(terms_of(options, tree), members_of(options, tree), arms, [profile_try(tree)], leakage.sets_of)
    some = cells(options, PUBLISHED, 0.0)
    fit_all(run, some, workers=options.workers)
    scale = Scale.of(run.terms.project)
    found: dict[str, Any] = {"sets": report.mean_facts(run, some)}
    rows = []
    for who, members in scored(run).items():
        figures = {arm: scale.over_seeds(predict(run, some, arm, members, run.tries).by_seed) for arm in arms}
        cost = {name: figures[leakage.BY_IMAGE][name] - figures[leakage.BY_LESION][name] for name in SHOWN}
        found[who] = {arm: {name: shown(of[name]) for name in SHOWN} for arm, of in figures.items()}
        found[who]["too much"] = {name: shown(cost[name]) for name in SHOWN}
        rows += [
            [who, name, *(with_interval(figures[arm][name]) for arm in arms), signed(cost[name])] for name in SHOWN
        ]
    return found, markdown(["member", "figure", *arms, "image level reports too much"], rows)


def shortcut(options: argparse.Namespace, tree: Mapping[str, Any]) -> Found:
    """Hold shortcut probes against the prior and the members, on labels as published and the same folds."""
    run = Run(terms_of(options, tree), members_of(options, tree), (CEILING,), [profile_try(tree)], arms_of)
    some = cells(options, PUBLISHED, 0.0)
    fit_all(run, some, workers=options.workers)
    project = run.terms.project
    scale = Scale.of(project)
    seen = shortcuts.features(project, options.batches)
    by_seed = [shortcuts.predict(project, seen, folds=options.folds, seed=seed) for seed in options.seeds]
    figures = {name: scale.over_seeds([of[name] for of in by_seed]) for name in by_seed[0]}
    for who, members in scored(run).items():
        figures[who] = scale.over_seeds(predict(run, some, CEILING, members, run.tries).by_seed)
    found = {name: {figure: shown(of[figure]) for figure in SHOWN} for name, of in figures.items()}
    rows = [[name, *(with_interval(of[figure]) for figure in SHOWN)] for name, of in figures.items()]
    return {"probes": found}, markdown(["probe", *SHOWN], rows)


PARTS = {"gain": gain, "leakage": leak, "shortcuts": shortcut}


def _parser() -> argparse.ArgumentParser:
    made = made_parser("bench.gain", __doc__, arms=ARMS)
    made.add_argument("part", choices=PARTS)
    names = [one.name for one in TRIES]
    made.add_argument(
        "--tries", nargs="*", default=names, metavar="RECIPE", help=f"gain: of {names}, beside the profile's"
    )
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
