"""Images a second of several ways to do the same, which take turns: what else the machine does slows them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bench.command import markdown
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.stages.ingest.tables import Images, open_pixels

LOADERS = min(os.cpu_count() or 1, 8)  # processes that decode for a peer
Way = Callable[[], int]  # does its work once and says on how many images


def images_per_second(ways: Mapping[str, Way], *, turns: int) -> dict[str, float]:
    """Let each way warm up once, then all take turns; the best turn of each counts."""
    for way in ways.values():
        way()
    best = dict.fromkeys(ways, 0.0)
    for _ in tqdm(range(turns), desc="turns", disable=None):
        for name, way in ways.items():
            start = time.perf_counter()
            count = way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            best[name] = max(best[name], count / (time.perf_counter() - start))
    return best


def first_images(project: Path, batch: str, count: int) -> Pixels:
    """Take the first `count` images of a batch."""
    store = Store(project)
    return open_pixels(store, store.read(Images, [batch]).sort_values("image_id").head(count))


def report(found: Mapping[str, float], ours: str) -> dict[str, Any]:
    """Say what each way reaches, and how many times as many as each other `ours` does."""
    ratios = {f"by {name}": round(found[ours] / value, 3) for name, value in found.items() if name != ours}
    return {"images_per_second": {name: round(value, 1) for name, value in found.items()}, "ours": ratios}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out what `report` said of each network."""
    first = next(iter(found.values()))
    heads = ["images a second", *first["images_per_second"], *first["ours"]]
    return markdown(
        heads, [[name, *of["images_per_second"].values(), *of["ours"].values()] for name, of in found.items()]
    )


def machine() -> str:
    """Name the device."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} processor threads"
