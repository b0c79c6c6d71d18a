"""`python -m pipeline <stage> [instance]` runs a stage; `… <command>` one of the commands around it."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from pipeline import params
    from pipeline.core import lock
    from pipeline.core.errors import UserError
    from pipeline.core.meter import Cost, measure
    from pipeline.core.progress import step
    from pipeline.core.store import Store
except ModuleNotFoundError as missing:
    if str(missing.name).split(".")[0] == "pipeline":
        raise
    remedy = "run `. .venv/bin/activate` first (in fish `. .venv/bin/activate.fish`); `make .venv/installed` makes it"
    sys.exit(f"error: {sys.executable} has no module {missing.name}: {remedy}")

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run a stage or a command; return the exit status."""
    try:
        if arguments and arguments[0] in params.STAGES:
            run_stage(Path.cwd(), *arguments)
            return 0
        status: int = import_module("pipeline.commands.main").main(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def run_stage(root: Path, stage: str, instance: str | None = None, *spare: str) -> None:
    """Read params, take the instance's lock, run the stage, log its time and memory.

    Raises:
        UserError: the instance is not listed, the params are wrong, or another process runs it.

    """
    if spare:
        raise UserError(f"{stage} takes one instance, not {' '.join(spare)} as well")
    if "DVC_STAGE" in os.environ:
        lock.die_with_parent()
    name = f"{stage}@{instance}" if instance else stage
    tree = params.read_tree(root / "params.yaml")
    received, workers = params.stage_params(tree, stage, instance), params.running(tree).workers
    with step(name), lock.only_writer(root / "data/.cache/locks", name):
        store = Store(root)
        import_module("pipeline.core.engine").WORKERS.set(None if workers == "auto" else workers)
        with measure() as cost:
            run = import_module(f"pipeline.stages.{stage}.stage").run
            if instance is None:
                run(store, received)
            else:
                run(store, received, instance)
        store.sweep(name)
        _log(store, name, cost)


def _log(store: Store, name: str, cost: Cost) -> None:
    """Append time, peak memory and files to a log that is no output of the stage."""
    line = {
        "stage": name,
        "ended": time.time(),
        "seconds": round(cost.seconds, 2),
        "peak_mib": round(cost.peak_mib),
        "reads": sorted(store.reads),
        "writes": sorted(store.writes),
    }
    with (store.root / "data/.cache/runs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
