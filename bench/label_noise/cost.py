"""Time and memory of the whole judgement on drawn vectors of three sizes, each in a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.command import markdown, section
from bench.processes import measure
from pipeline.profiles import read_either
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.stage import find_label_errors

SIZES = (10_000, 50_000, 200_000)
DIMENSIONS = 512
CLASSES = 7
WRONG = 0.1


def run(options: argparse.Namespace, _: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Measure each size; return figures by size, and a table."""
    report = {str(size): _measure(size, options.profile) for size in options.sizes}
    figures = ("processor_s", "wall_s", "peak_mib", "load")
    rows = [[size, *(one[name] for name in figures)] for size, one in report.items()]
    heads = ["images", "processor seconds", "wall seconds", "peak memory, MiB", "load before"]
    return report, markdown(heads, rows)


def draw(images: int, *, seed: int) -> Dataset:
    """Draw vectors of seven overlapping diagnoses, about three images in four of a lesion of their own, 10% wrong."""
    rng = np.random.default_rng(seed)
    lesion = np.unique(rng.integers(0, round(0.75 * images), images), return_inverse=True)[1]
    truth = rng.choice(CLASSES, lesion.max() + 1, p=np.array([0.4, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03]))
    centres = rng.normal(0, 1, (CLASSES, DIMENSIONS)).astype(np.float32)
    vectors = centres[truth[lesion]] + 4 * rng.standard_normal((images, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wrong = rng.random(len(truth)) < WRONG
    given = np.where(wrong, (truth + rng.integers(1, CLASSES, len(truth))) % CLASSES, truth)[lesion]
    return Dataset(
        image_id=np.char.add("drawn:", np.arange(images).astype(str)),
        classes=[f"diagnosis_{i}" for i in range(CLASSES)],
        given=given,
        vectors=vectors,
        layers=(),
        further=(),
        members=(),
        context=np.zeros((images, 0), np.float32),
        evidence=np.full(images, "unknown"),
        split=np.full(images, "train"),
        group=lesion,
        lesion=lesion,
        copy_group=np.arange(images),
        removed=np.zeros(images, bool),
        reference=np.ones(images, bool),
    )


def _measure(images: int, profile: Path) -> dict[str, float]:
    load = os.getloadavg()[0]
    cost = measure([sys.executable, "-m", "bench.label_noise.cost", str(images), profile])
    return {
        "images": images,
        "processor_s": round(cost.processor_seconds, 1),
        "wall_s": round(cost.seconds, 1),
        "peak_mib": round(cost.peak_mib),
        "load": round(load, 1),
    }


def _child(images: int, profile: Path) -> None:
    labelled, params = draw(images, seed=0), section(read_either(profile), "label_noise", LabelNoiseParams)
    print("ready", flush=True)
    sys.stdin.readline()
    find_label_errors(labelled, params)
    print("done", flush=True)


if __name__ == "__main__":
    _child(int(sys.argv[1]), Path(sys.argv[2]))
