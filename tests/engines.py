"""Run everything that goes through `map_shards` under one engine, cut so small that every call has several shards.

A module to import, not to run: every worker of a pool would import it anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
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


def record(chosen: core.Engine) -> dict[str, int]:
    """Note for every module that calls `map_shards` the least number of its shards; have all of them use one engine."""
    shards_of: dict[str, int] = {}

    def recorded(caller: str) -> Callable[..., Any]:
        def map_shards(function: Any, shards: Any, *, engine: core.Engine | None = None, **others: Any) -> Any:
            assert engine in {None, chosen}, f"{caller} uses {engine}"
            shards_of[caller] = min(len(shards), shards_of.get(caller, len(shards)))
            return core.map_shards(function, shards, engine=chosen, **others)

        return map_shards

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
    extract.IMAGES_A_TASK, verify.PAIRS_A_TASK = 20, 40
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


def main(engine: core.Engine, root: Path, *, cores: int) -> None:
    """Draw a batch, run its stages and audit it as a split; print the modules that called and their least shards."""
    os.cpu_count = lambda: cores
    shards_of = record(engine)
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
