"""`python -m bench.gain STEP FOLDER`: what cleansing gains where it is known how many labels are wrong.

`plan` builds the training sets of every arm under every noise; `python -m bench.gain.fitting` trains a member on each
with every seed, where a GPU is; `report` compares the arms on the test set, on the same resamples of its groups, and
writes its section of the JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.command import markdown, parser, section, status_of, write_json
from bench.gain import plan
from bench.gain.fitting import FACTS, SETS, save
from bench.gain.plan import PUBLISHED
from bench.label_noise.planting import SHAPES
from bench.measures import CONFIDENCE
from pipeline.core.store import Store
from pipeline.profiles import read_either
from pipeline.stages.evaluate.bootstrap import Estimate, draw_groups, estimate, mean
from pipeline.stages.evaluate.metrics import headline
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.rebalance.params import RebalanceParams

PLANTED = ("uniform", "confused", "feature-dependent")
RESAMPLES = 2000
SHOWN = ("balanced_accuracy", "accuracy", "macro_auroc")
BASE = "raw"
CEILING = (PUBLISHED, "curated")


def main(arguments: Sequence[str]) -> int:
    """Run one step; return the exit status."""
    options = _parser().parse_args(arguments)
    steps = {"plan": _plan, "report": _report}
    return status_of(lambda: steps[options.step](options, read_either(options.profile)))


def _plan(options: argparse.Namespace, tree: Mapping[str, Any]) -> None:
    judging = section(tree, "label_noise", LabelNoiseParams)
    building = section(tree, "rebalance", RebalanceParams)
    project = plan.read_project(options.project, options.batch, judging)
    asked: dict[str, Any] = {"rate": options.rate, "seed": options.seed, "hours": options.hours}
    for shape in [None, *options.shapes]:
        save(options.folder, plan.plan(project, shape, **asked, judging=judging, building=building))


def _report(options: argparse.Namespace, tree: Mapping[str, Any]) -> None:
    report, text = compare(options.project, options.batch, options.folder)
    print(text)
    member = tree["train"]["members"][options.member]
    asked = {"hours": options.hours, "rate": options.rate, "seed": options.seed, "member": member}
    seen = f"{member['side_pixels']} pixels" if member["side_pixels"] else f"a probe of {member['backbone']}"
    name = f"{options.batch}, {seen}"
    write_json(options.write, lambda whole: whole | {name: report | asked}, in_order=True)


def compare(project: Path, batch: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Score what is fitted: the mean over seeds of each arm, and what it gains on the raw one; and a table.

    A noise whose raw arm is not fitted is scored without a gain.
    """
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    images = Store(project).read(Images, batch).set_index("image_id")
    classes = sorted(images["diagnosis"].unique())
    scores = {
        (condition, arm): _score(folder, condition, arm, images, classes)
        for condition in facts
        for arm in facts[condition]
        if _fitted(folder, condition, arm)
    }
    report: dict[str, Any] = {}
    rows = []
    for (condition, arm), (of_arm, by_seed) in scores.items():
        entry = {**facts[condition][arm], "by_seed": by_seed, **{name: _shown(of_arm[name]) for name in SHOWN}}
        lifts = dict.fromkeys(SHOWN, "")
        if arm != BASE and (condition, BASE) in scores:
            of_raw, _ = scores[condition, BASE]
            entry["gain"] = {name: _shown(of_arm[name] - of_raw[name]) for name in SHOWN}
            lifts = {
                name: f"{value:+.3f} ({low:+.3f} to {high:+.3f})" for name, (value, low, high) in entry["gain"].items()
            }
        if condition != PUBLISHED and CEILING in scores:
            ceiling, _ = scores[CEILING]
            entry["behind_ceiling"] = {name: _shown(ceiling[name] - of_arm[name]) for name in SHOWN}
        report.setdefault(condition, {})[arm] = entry
        figures = [text for name in SHOWN[:2] for text in (f"{of_arm[name].value:.3f}", lifts[name])]
        rows.append([condition, arm, entry["train"], entry["wrong_in_train"], *figures])
    heads = ["noise", "arm", "train", "wrong in train", "balanced accuracy", "gain on raw", "accuracy", "gain on raw"]
    return {"conditions": report}, markdown(heads, rows)


def _score(
    folder: Path, condition: str, arm: str, images: pd.DataFrame, classes: list[str]
) -> tuple[dict[str, Estimate], list[dict[str, float]]]:
    """Average an arm's figures over its seeds, and give each seed's."""
    selection = pd.read_parquet(folder / SETS / f"{condition}_{arm}.parquet")
    test = selection[selection["split"] == "test"]
    actual = pd.Index(classes).get_indexer(pd.Index(images.loc[test["image_id"], "diagnosis"]))
    _, group = np.unique(test["group_id"].to_numpy(dtype=str), return_inverse=True)
    draws = draw_groups(group.max() + 1, RESAMPLES, np.random.default_rng(0))
    of_seeds = []
    for file in _fitted(folder, condition, arm):
        figures = partial(headline, np.load(file).astype(np.float64), actual, bins=15)
        of_seeds.append(estimate(figures, group, draws))
    by_seed = [{name: round(of_seed[name].value, 4) for name in SHOWN} for of_seed in of_seeds]
    return {name: mean([of_seed[name] for of_seed in of_seeds]) for name in SHOWN}, by_seed


def _fitted(folder: Path, condition: str, arm: str) -> list[Path]:
    return sorted(folder.glob(f"{condition}_{arm}_[0-9]*.npy"))


def _shown(figure: Estimate) -> list[float]:
    return [round(number, 4) for number in (figure.value, *figure.interval(CONFIDENCE))]


def _parser() -> argparse.ArgumentParser:
    made = parser("bench.gain", __doc__, "--write", required=["--project", "--batch", "--profile"])
    add = made.add_argument
    add("step", choices=("plan", "report"))
    add("folder", type=Path, help="of the training sets, and of what is fitted")
    add("--shapes", nargs="+", choices=SHAPES, default=list(PLANTED), help="of the noise")
    add("--rate", type=float, default=0.2, help="share of wrong labels (default: 0.2)")
    add("--seed", type=int, default=21, help="of the planting (default: 21)")
    add("--hours", type=float, default=8.0, help="that the steward works (default: a day)")
    add("--member", default="lite0", help="report: of train.members, that was trained (default: lite0)")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
