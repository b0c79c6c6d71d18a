"""Train a member on every training set with every seed, several at a time."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cache import replacing
from bench.command import parser, section, status_of
from bench.processes import in_workers
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.profiles import read_either
from pipeline.stages.ingest.tables import Images
from pipeline.stages.train.member import Task
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.stage import train_on

SETS = "sets"
FACTS = "facts.json"


@dataclass(frozen=True)
class Planned:
    """A training set, and how it came about.

    selection: the table Selection.
    target: its vector.
    facts: counts for the report.
    """

    condition: str
    arm: str
    selection: pd.DataFrame
    target: NDArray[np.float32]
    facts: dict[str, Any]


class Job(NamedTuple):
    """One training."""

    condition: str
    arm: str
    seed: int


def save(folder: Path, sets: Iterable[Planned]) -> None:
    """Keep training sets, and what is known of each."""
    (folder / SETS).mkdir(parents=True, exist_ok=True)
    facts = json.loads((folder / FACTS).read_text("utf-8")) if (folder / FACTS).exists() else {}
    for one in sets:
        one.selection.to_parquet(folder / SETS / f"{one.condition}_{one.arm}.parquet", index=False)
        np.save(folder / SETS / f"{one.condition}_{one.arm}.npy", one.target)
        facts.setdefault(one.condition, {})[one.arm] = one.facts
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def fit(project: Path, batch: str, params: TrainParams, folder: Path, *, seeds: Sequence[int], workers: int) -> None:
    """Train, and write the test set's probabilities of each job; one that is on disk is not trained again."""
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    jobs = [Job(condition, arm, seed) for seed in seeds for condition, arms in facts.items() for arm in arms]
    waiting = [job for job in jobs if not fitted(folder, job).exists()]
    train = partial(_train, project=project, batch=batch, params=params, folder=folder)
    in_workers(train, waiting, workers=workers, label="fit", unit="network")


def fitted(folder: Path, job: Job) -> Path:
    """Say where a job's probabilities lie."""
    return folder / f"{job.condition}_{job.arm}_{job.seed}.npy"


@cache
def _images(project: Path, batch: str) -> tuple[Store, pd.DataFrame]:
    store = Store(project)
    return store, store.read(Images, batch)


def _train(job: Job, *, project: Path, batch: str, params: TrainParams, folder: Path) -> None:
    store, images = _images(project, batch)
    kept = folder / SETS / f"{job.condition}_{job.arm}"
    target = fitted(folder, job)
    scratch = target.with_suffix(".scratch")
    scratch.mkdir(exist_ok=True)
    task = Task(
        pd.read_parquet(kept.with_suffix(".parquet")),
        np.load(kept.with_suffix(".npy")),
        diagnoses_in_scope(images["diagnosis"], params.classes),
        loss=params.loss,
        seed=job.seed,
        scratch=scratch,
    )
    _, trained = train_on(store, params.model_copy(update={"batches": [batch]}), task, images)
    with replacing(target) as file:
        np.save(file, trained.probabilities["test"].astype(np.float32))
    shutil.rmtree(scratch)


def main(arguments: Sequence[str]) -> int:
    """Fit what the arguments say; return the exit status."""
    needed = ["--project", "--batch", "--profile"]
    made = parser("bench.gain.fitting", __doc__, "folder", "--workers", required=needed)
    add = made.add_argument
    add("--member", default="lite0", help="of train.members (default: lite0)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3], help="of the training (default: four)")
    options = made.parse_args(arguments)

    def run() -> None:
        tree = read_either(options.profile)
        instance = f"{options.member}-{tree['arms'][0]}-{tree['seeds'][0]}"
        params = section(tree, "train", TrainParams, instance=instance)
        fit(options.project, options.batch, params, options.folder, seeds=options.seeds, workers=options.workers)

    return status_of(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
