"""What the benches of training take: options, and what of the params they hang on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from bench.command import OPTIONS, parser, section, status_of, write_json
from bench.gain.fitting import Run, Try
from bench.gain.plan import PUBLISHED, Cell, Terms
from bench.gain.report import ENSEMBLE
from bench.label_noise.planting import SHAPES
from bench.parts import named
from pipeline.profiles import read_either
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.rebalance.params import RebalanceParams
from pipeline.stages.train.params import TrainParams


def made_parser(module: str, doc: str | None, *, arms: list[str]) -> argparse.ArgumentParser:
    """Make the parser of a bench."""
    made = parser(module, doc, "--project", "--lesions", "--profile", "--cache", "--workers", "--write")
    made.set_defaults(cache=OPTIONS["--cache"]["default"] / "gain")
    add = made.add_argument
    add("--batches", nargs="+", required=True, help="of the project")
    add("--arms", nargs="+", default=arms, help=f"of rebalance.arms, and 'right labels' (default: {', '.join(arms)})")
    add("--members", nargs="+", default=["clip_probe"], help="of train.members (default: clip_probe)")
    add("--shapes", nargs="*", choices=SHAPES, default=["uniform", "confused"], help="of the noise")
    add("--rates", nargs="+", type=float, default=[0.1, 0.2], help="shares of wrong labels (default: .1 and .2)")
    add("--published", action="store_true", help="also labels as published")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="of folds, planting and training (default: five)")
    add("--folds", type=int, default=4, help="outer folds (default: 4)")
    add("--hours", type=float, default=8.0, help="that the steward works (default: a day)")
    return made


def answer(options: argparse.Namespace, part: str, compare: Callable[..., tuple[dict[str, Any], str]]) -> int:
    """Compare, by options and what the profile holds; print the table, write the section; return the exit status."""

    def run() -> None:
        found, text = compare(options, read_either(options.profile))
        print(text)
        write(options, part, found)

    return status_of(run)


def terms_of(options: argparse.Namespace, tree: Mapping[str, Any]) -> Terms:
    """Take what all cells share."""
    judging = section(tree, "label_noise", LabelNoiseParams)
    building = section(tree, "rebalance", RebalanceParams)
    batches = tuple(options.batches)
    return Terms(
        options.project, batches, options.lesions, judging, building, options.hours, options.folds, options.cache
    )


def members_of(options: argparse.Namespace, tree: Mapping[str, Any]) -> dict[str, TrainParams]:
    """Take what `train` would receive of each member."""
    arm, seed = tree["arms"][0], tree["seeds"][0]
    return {name: section(tree, "train", TrainParams, instance=f"{name}-{arm}-{seed}") for name in options.members}


def cells_of(options: argparse.Namespace) -> dict[str, list[Cell]]:
    """List the cells of each noise that is asked for, by its name."""
    noises = [(PUBLISHED, 0.0)] if options.published else []
    of_noise = [cells(options, *noise) for noise in [*noises, *product(options.shapes, options.rates)]]
    return {some[0].condition: some for some in of_noise}


def cells(options: argparse.Namespace, shape: str, rate: float) -> list[Cell]:
    """List the cells of one noise."""
    return [Cell(shape, rate, seed, fold) for seed, fold in product(options.seeds, range(options.folds))]


def scored(run: Run) -> dict[str, list[str]]:
    """List what is scored: every member, and all of them joined."""
    alone = {name: [name] for name in run.members}
    return alone | ({ENSEMBLE: list(run.members)} if len(alone) > 1 else {})


def profile_try(tree: Mapping[str, Any]) -> Try:
    """Return the recipe that the profile has."""
    return Try(tree["train"]["loss"], tree["rebalance"]["balance"]["policy"])


def write(options: argparse.Namespace, part: str, found: dict[str, Any]) -> None:
    """Write a part's section; conditions that this run did not ask for stay, if all else is the same."""
    name = f"{part}, {named(options.batches, options.lesions)}"
    entry = {"folds": options.folds, "seeds": options.seeds, **found}

    def join(whole: dict[str, Any]) -> dict[str, Any]:
        before = whole.get(name, {})
        alike = "conditions" in entry and before | {"conditions": 0} == entry | {"conditions": 0}
        kept = {"conditions": before["conditions"] | entry["conditions"]} if alike else {}
        return whole | {name: entry | kept}

    write_json(options.write, join, in_order=True)
