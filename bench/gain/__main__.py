"""`python -m bench.gain STEP FOLDER`: what cleansing gains where it is known how many labels are wrong.

`plan` builds the training sets of every arm under every noise; `python -m bench.gain.fitting` trains a member on each
with every seed, where a GPU is; `report` compares on the same test set and writes its section of the JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bench.command import status_of
from bench.gain import fitting, plan, report
from bench.label_noise.planting import SHAPES
from pipeline.params import read_tree, stage_params
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.rebalance.params import RebalanceParams

PLANTED = ("uniform", "confused", "feature-dependent")


def main(arguments: Sequence[str]) -> int:
    """Run one step; return the exit status."""
    options = _parser().parse_args(arguments)
    steps = {"plan": _plan, "report": _report}
    return status_of(lambda: steps[options.step](options, read_tree(options.profile)))


def _plan(options: argparse.Namespace, tree: Mapping[str, Any]) -> None:
    judging = cast("LabelNoiseParams", stage_params(tree, "label_noise", None))
    building = cast("RebalanceParams", stage_params(tree, "rebalance", tree["arms"][0]))
    project = plan.read_project(options.project, options.batch, judging)
    for shape in [None, *options.shapes]:
        sets = plan.plan(
            project,
            shape,
            rate=options.rate,
            seed=options.seed,
            hours=options.hours,
            judging=judging,
            building=building,
        )
        fitting.save(options.folder, sets)


def _report(options: argparse.Namespace, tree: Mapping[str, Any]) -> None:
    found, text = report.run(options.project, options.batch, options.folder)
    print(text)
    if options.write:
        whole = json.loads(options.write.read_text("utf-8")) if options.write.exists() else {}
        member = tree["train"]["members"][options.member]
        asked = {"hours": options.hours, "rate": options.rate, "seed": options.seed, "member": member}
        whole[f"{options.batch}, {member['side_pixels']} pixels"] = found | asked
        options.write.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gain", description=__doc__)
    add = parser.add_argument
    add("step", choices=("plan", "report"))
    add("folder", type=Path, help="of the training sets, and of what is fitted")
    add("--project", type=Path, required=True, help="whose batch is ingested, and to plan embedded and deduplicated")
    add("--batch", required=True, help="its batch, such as ham10000")
    add("--profile", type=Path, required=True, help="whose params hold: label_noise, rebalance, train.members")
    add("--shapes", nargs="+", choices=SHAPES, default=list(PLANTED), help="of the noise")
    add("--rate", type=float, default=0.2, help="share of wrong labels (default: 0.2)")
    add("--seed", type=int, default=21, help="of the planting (default: 21)")
    add("--hours", type=float, default=8.0, help="that the steward works (default: a day)")
    add("--member", default="lite0", help="report: of train.members, that was trained (default: lite0)")
    add("--write", type=Path, metavar="JSON", help="report: also write figures, to docs/results/gain.json say")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
