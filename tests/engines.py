"""Run everything that goes through `map_shards` under one engine, cut so small that every call has several shards.

A module to import, not to run: every worker of a pool would import it anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

from pipeline.__main__ import run_stage
from pipeline.commands.audit_split import command
from pipeline.core import engine as core
from pipeline.demo import draw as demo
from pipeline.stages.dedup import stage as _dedup  # noqa: F401 - loaded, so that `record` finds what it calls
from pipeline.stages.dedup.candidates import hash_search, keypoint_votes
from pipeline.stages.dedup.features import extract
from pipeline.stages.dedup.verification import verify
from pipeline.stages.embed import stage as embed
from pipeline.stages.fingerprint import stage as fingerprint
from pipeline.stages.ingest import packing
from pipeline.stages.ingest import stage as _ingest  # noqa: F401
from tests.params import changed
from tests.project import ROOT, draw_weights, tiny_params

IMAGES = 40
PATIENCE_S = 600.0  # guards against hanging, not slowness

Kill = Callable[[psutil.Process], None]


def kill_a_worker(node: psutil.Process) -> None:
    """Kill a worker of a node while it works on a shard."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if at_work := [one for one in _processes(node) if _title(one).startswith("ray::_run_packed")]:
            at_work[0].kill()
            return
        time.sleep(0.01)
    raise AssertionError("no worker of the node was ever at work")


def kill_the_node(node: psutil.Process) -> None:
    """Kill all processes of a node at once, as a machine that loses its power, while one of them works on a shard."""
    kill_a_worker(node)
    for process in _processes(node):
        process.kill()


# In the middle of which calls.
KILLS: dict[str, Kill] = {
    "pipeline.stages.dedup.features.extract": kill_a_worker,
    "pipeline.stages.dedup.verification.verify": kill_the_node,
}


def _processes(node: psutil.Process) -> list[psutil.Process]:
    return [node, *node.children(recursive=True)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def while_killing(results: Iterator[Any], kill: Kill, node: int) -> Iterator[Any]:
    """Yield results while something of the node that computes them is killed."""
    killer = threading.Thread(target=kill, args=(psutil.Process(node),), daemon=True)
    killer.start()
    yield from results
    assert not killer.is_alive(), "what was to be killed never worked"


def record(chosen: core.Engine, node: int | None) -> dict[str, int]:
    """Note for every module that calls `map_shards` the least number of its shards; have all of them use one engine.

    Args:
        chosen: the engine.
        node: process of a node of Ray's, of which `KILLS` are killed; None: nobody dies.

    """
    shards_of: dict[str, int] = {}

    def recorded(caller: str) -> Callable[..., Any]:
        def map_shards(function: Any, shards: Any, *, engine: core.Engine | None = None, **others: Any) -> Any:
            assert engine in {None, chosen}, f"{caller} uses {engine}"
            shards_of[caller] = min(len(shards), shards_of.get(caller, len(shards)))
            results = core.map_shards(function, shards, engine=chosen, **others)
            if node is not None and caller in kills:
                return while_killing(results, kills.pop(caller), node)
            return results

        return map_shards

    kills = dict(KILLS)
    for name, module in list(sys.modules.items()):
        if name.startswith("pipeline.") and module is not core and hasattr(module, "map_shards"):
            setattr(module, "map_shards", recorded(name))  # noqa: B010 - mypy knows of no such module
    return shards_of


def cut_small() -> None:
    choose = hash_search.choose_keys
    hash_search.choose_keys = lambda _hashes, **others: choose(10**6, **others)  # as among a million: several keys
    hash_search.SHARD_SECONDS = 1e-9
    hash_search.MAX_KEY_BITS = 8
    keypoint_votes.SHARD = 20
    packing.IMAGES_PER_SHARD, fingerprint.IMAGES_A_TASK = 32, 16
    extract.IMAGES_A_TASK, verify.PAIRS_A_TASK = 5, 40
    embed.BATCHES_PER_TASK, demo.LESIONS_PER_TASK = 2, 10


def set_up(root: Path, engine: core.Engine) -> None:
    os.environ["PYTHONPATH"] = str(ROOT)  # for the script that draws weights
    shutil.copytree(ROOT / "taxonomies", root / "taxonomies")
    draw_weights(root)
    (root / "params.yaml").write_text(yaml.safe_dump(changed(tiny_params(), runtime__engine=engine)), "utf-8")
    demo.run(root, argparse.Namespace(images=IMAGES, seed=0))


def split(root: Path) -> Path:
    """Share the images out to folders train and test, so that they can be audited."""
    images = pd.read_csv(root / "data/truth/demo.csv").query("defect not in ['not_an_image', 'truncated']")["image"]
    for number, image in enumerate(images):
        target = root / "split" / ("train", "test")[number % 2] / image.replace("/", "_")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "data/raw/demo" / image, target)
    return root / "split"


def main(engine: core.Engine, root: Path, *, cores: int, node: int | None = None) -> None:
    """Draw a batch, run its stages and audit it as a split; print the modules that called and their least shards."""
    os.cpu_count = lambda: cores
    shards_of = record(engine, node)
    cut_small()
    set_up(root, engine)
    os.chdir(root)
    for stage, instance in (
        ("ingest", "demo"),
        ("fingerprint", "demo"),
        ("embed", "first-demo"),
        ("embed", "second-demo"),
    ):
        run_stage(root, stage, instance)
    run_stage(root, "dedup")
    command.run(root, argparse.Namespace(split=split(root).relative_to(root), images=None, out=None))
    print(json.dumps(shards_of, sort_keys=True))
