"""`python -m bench.label_noise PART`: runs one part, prints its table, writes its section of the JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.command import OPTIONS, parser, section, status_of, write_json
from bench.label_noise import cost, error_probabilities, fine_tuned, run, sizes, strays
from bench.label_noise.planting import PER, SHAPES
from pipeline.profiles import read_either
from pipeline.stages.label_noise.params import LabelNoiseParams

PARTS: dict[str, Callable[[argparse.Namespace, LabelNoiseParams], tuple[dict[str, Any], str]]] = {
    "noise": run.run,
    "sizes": sizes.run,
    "reliability": error_probabilities.reliability,
    "counting": error_probabilities.counting,
    "off-topic": strays.run,
    "off-topic-reference": strays.refer,
    "cost": cost.run,
    "fine-tuned": fine_tuned.run,
}


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say; return the exit status."""
    options = _parser().parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    report, text = PARTS[options.part](options, section(read_either(options.profile), "label_noise", LabelNoiseParams))
    print(text)

    def join(whole: dict[str, Any]) -> dict[str, Any]:
        part = whole.setdefault(options.part, {})
        part.update({name: join_cells(part.get(name), of_batch) for name, of_batch in report.items()})
        return whole

    write_json(options.write, join, in_order=True)


def join_cells(before: Any, report: Any) -> Any:  # noqa: ANN401 - JSON
    """Keep cells that this run did not ask for, if all else of the collection is the same: one run need not do all."""
    if not before or "cells" not in report or before | {"cells": None} != report | {"cells": None}:
        return report
    return report | {"cells": before["cells"] | report["cells"]}


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "bench.label_noise",
        __doc__,
        "--project",
        "--batch",
        "--lesions",
        "--profile",
        "--weights",
        "--cache",
        "--write",
    )
    made.set_defaults(cache=OPTIONS["--cache"]["default"] / "label_noise")
    add = made.add_argument
    add("part", choices=PARTS)
    add("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="of the noise (default: all)")
    add("--rates", nargs="+", type=float, default=[0.05, 0.1, 0.2], help="shares of wrong labels; sizes: 0 is none")
    add("--per", nargs="+", choices=PER, default=["lesion"], help="what shares an error (default: lesion)")
    add("--seeds", nargs="+", type=int, default=list(run.REPORTED), help="of the plantings (default: the reported)")
    add("--sizes", nargs="+", type=int, default=list(cost.SIZES), help="cost, sizes: numbers of images")
    add("--plot", type=Path, metavar="PNG", help="reliability: also draw it")
    add("--fitted", type=Path, metavar="FOLDER", help="fine-tuned: of `python -m bench.label_noise.fine_tuned fit`")
    add("--stray-images", type=Path, metavar="FOLDER", help="off-topic: real images of other things, with SOURCES.csv")
    add(
        "--half", choices=["both", "first", "second"], default="both", help="off-topic: of a diagnosis's images by name"
    )
    add("--leave-out", nargs="+", metavar="IMAGE", default=[], help="off-topic: images of the batch that are no skin")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
