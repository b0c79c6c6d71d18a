"""`fetch demo`: draw a scrape of lesion-like images with planted defects, so that the main job runs anywhere.

The truth about the defects lies outside the batch, in `data/truth/demo.csv`: no stage can read it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.engine import map_shards
from pipeline.demo import copies, offtopic, scrape
from pipeline.demo.photograph import RGB, photograph
from pipeline.demo.scrape import Item
from pipeline.demo.skin import scene

LESIONS_PER_TASK = 20
PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The image that you asked for is no longer here.</p></body></html>
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--images", type=int, default=560, help="files in the scrape (default: 560)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws another scrape (default: 0)")


def run(root: Path, options: argparse.Namespace) -> list[Path]:
    """Draw `data/raw/demo/` and `data/truth/demo.csv`; return the folder.

    Raises:
        UserError: too few images asked for.

    """
    items = scrape.plan(np.random.default_rng(options.seed), images=options.images)
    batch, truth = root / "data/raw/demo", root / "data/truth/demo.csv"
    temporary = batch.with_name(".demo.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    for path, content in draw(items, seed=options.seed):
        file = temporary / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    truth.parent.mkdir(parents=True, exist_ok=True)
    truth_of(items).to_csv(truth, index=False, lineterminator="\n")
    if batch.exists():
        shutil.rmtree(batch)
    temporary.replace(batch)
    return [batch]


def draw(items: Sequence[Item], *, seed: int) -> Iterator[tuple[str, bytes]]:
    """Draw all files of a plan; yield each one's path and content."""
    lesions: dict[int, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.number):
        # What shows one lesion is drawn together; a stray image is a group of its own.
        lesions.setdefault(item.lesion if item.lesion >= 0 else -1 - item.number, []).append(item)
    groups = [lesions[key] for key in sorted(lesions)]
    tasks = [groups[i : i + LESIONS_PER_TASK] for i in range(0, len(groups), LESIONS_PER_TASK)]
    for drawn in map_shards(partial(_draw_groups, seed=seed), tasks, label="draw the scrape"):
        yield from drawn


def truth_of(items: Sequence[Item]) -> pd.DataFrame:
    """Tell the truth about every file: what it shows, where it lies, what was done to it, and to which original."""
    paths = {item.number: item.path for item in items}
    rows = [
        {
            "image": item.path,
            "lesion": item.lesion if item.lesion >= 0 else None,
            "true_label": item.true_label,
            "given_label": item.given_label,
            "defect": item.defect,
            "original": paths.get(item.original, ""),
        }
        for item in items
    ]
    return pd.DataFrame(rows).astype({"lesion": "Int64"})


def _draw_groups(groups: Sequence[Sequence[Item]], *, seed: int) -> list[tuple[str, bytes]]:
    return [file for group in groups for file in _draw_group(group, seed)]


def _draw_group(group: Sequence[Item], seed: int) -> Iterator[tuple[str, bytes]]:
    """Draw what shows one lesion: its skin once, then the photographs, then their copies."""
    contents: dict[int, bytes] = {}
    shown = (
        scene(np.random.default_rng([seed, 0, group[0].lesion]), group[0].true_label) if group[0].true_label else None
    )
    for item in group:
        rng = np.random.default_rng([seed, 1, item.number])
        if item.original >= 0:
            content = copies.copy(rng, item.defect, contents[item.original])
        elif shown is not None:
            content = _encoded(rng, photograph(rng, shown), item.path)
        else:
            content = _stray(rng, item)
        contents[item.number] = content
        yield item.path, content


def _stray(rng: np.random.Generator, item: Item) -> bytes:
    if item.defect == "not_an_image":
        return PAGE
    if item.defect == "truncated":
        whole = copies.jpeg(photograph(rng, scene(rng, item.given_label)), 90)
        return whole[: len(whole) // 2]
    kind = offtopic.KINDS[item.number % len(offtopic.KINDS)]
    return _encoded(rng, kind(rng), item.path)


def _encoded(rng: np.random.Generator, image: RGB, path: str) -> bytes:
    return copies.png(image) if path.endswith(".png") else copies.jpeg(image, int(rng.integers(70, 96)))
