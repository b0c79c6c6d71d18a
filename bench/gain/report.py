"""Compare the arms on the test set, on the same resamples of its groups."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.gain.fitting import FACTS, SETS
from bench.gain.plan import PUBLISHED
from pipeline.core.store import Store
from pipeline.stages.evaluate.bootstrap import Estimate, draw_groups, estimate, mean
from pipeline.stages.evaluate.metrics import headline
from pipeline.stages.ingest.tables import Images

RESAMPLES = 2000
CONFIDENCE = 0.95
SHOWN = ("balanced_accuracy", "accuracy", "macro_auroc")
BASE = "raw"
CEILING = (PUBLISHED, "curated")


def run(project: Path, batch: str, folder: Path) -> tuple[dict[str, Any], str]:
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
    found: dict[str, Any] = {}
    lines = [
        "| noise | arm | train | wrong in train | balanced accuracy | gain on raw | accuracy | gain on raw |",
        "|---|---|---|---|---|---|---|---|",
    ]
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
        found.setdefault(condition, {})[arm] = entry
        figures = " | ".join(f"{of_arm[name].value:.3f} | {lifts[name]}" for name in SHOWN[:2])
        lines.append(f"| {condition} | {arm} | {entry['train']} | {entry['wrong_in_train']} | {figures} |")
    return {"conditions": found}, "\n".join(lines)


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
