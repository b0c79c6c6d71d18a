"""`python -m bench.label_noise PART`: runs one part, prints its table, writes its section of the JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.command import status_of
from bench.label_noise import cost, counting, fine_tuned, noise, reliability, strays
from bench.label_noise.profile import read_profile
from pipeline.stages.label_noise.params import LabelNoiseParams

ROOT = Path(__file__).parents[2]
PARTS: dict[str, Callable[[argparse.Namespace, LabelNoiseParams], tuple[dict[str, Any], str]]] = {
    "noise": noise.run,
    "reliability": reliability.run,
    "counting": counting.run,
    "off-topic": strays.run,
    "cost": cost.run,
    "fine-tuned": fine_tuned.run,
}


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say; return the exit status."""
    options = _parser().parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    found, text = PARTS[options.part](options, read_profile(options.profile))
    print(text)
    if options.write:
        whole = json.loads(options.write.read_text("utf-8")) if options.write.exists() else {}
        section = whole.setdefault(options.part, {})
        section.update({name: join_cells(section.get(name), of_batch) for name, of_batch in found.items()})
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")


def join_cells(before: Any, found: Any) -> Any:  # noqa: ANN401 - JSON
    """Keep cells that this run did not ask for, if all else of the collection is the same: one run need not do all."""
    if not before or "cells" not in found or before | {"cells": None} != found | {"cells": None}:
        return found
    return found | {"cells": before["cells"] | found["cells"]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.label_noise", description=__doc__)
    add = parser.add_argument
    add("part", choices=PARTS)
    add("--project", type=Path, default=ROOT, help="whose batch is ingested, embedded and deduplicated (default: this)")
    add("--batch", help="its batch, such as ham10000")
    add("--profile", type=Path, default=ROOT / "profiles/ham10000.yaml", help="our params (default: ham10000)")
    add("--shapes", nargs="+", choices=noise.SHAPES, default=list(noise.SHAPES), help="of the noise (default: all)")
    add("--rates", nargs="+", type=float, default=[0.05, 0.1, 0.2], help="shares of wrong labels")
    add("--per", nargs="+", choices=noise.PER, default=["lesion"], help="what shares an error (default: lesion)")
    add("--seeds", nargs="+", type=int, default=list(noise.REPORTED), help="of the plantings (default: the reported)")
    add("--cache", type=Path, default=ROOT / "bench/.cache/label_noise", help="finished work (default: bench/.cache)")
    add("--sizes", nargs="+", type=int, default=list(cost.SIZES), help="cost: numbers of images")
    add("--plot", type=Path, metavar="PNG", help="reliability: also draw it")
    add("--fitted", type=Path, metavar="FOLDER", help="fine-tuned: of `python -m bench.label_noise.fine_tuned fit`")
    add("--weights", type=Path, help="off-topic: of the profile's encoder")
    add("--leave-out", nargs="+", metavar="IMAGE", default=[], help="off-topic: images of the batch that are no skin")
    add(
        "--write", type=Path, metavar="JSON", help="also write the part's section, of docs/results/label_noise.json say"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
