"""Train a member on every training set with every seed, several at a time."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from tqdm import tqdm

from bench.command import batch_parser, status_of
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.models.trainable import weights_file
from pipeline.params import read_tree, stage_params
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.train.member import train_member
from pipeline.stages.train.params import TrainParams

Array = np.ndarray[Any, Any]

SETS = "sets"
FACTS = "facts.json"


@dataclass(frozen=True)
class Planned:
    """A training set, and how it came about.

    selection: the table Selection.
    facts: counts for the report.
    """

    condition: str
    arm: str
    selection: pd.DataFrame
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
        facts.setdefault(one.condition, {})[one.arm] = one.facts
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def fit(project: Path, batch: str, params: TrainParams, folder: Path, *, seeds: Sequence[int], workers: int) -> None:
    """Train, and write the test set's probabilities of each job; one that is on disk is not trained again."""
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    jobs = [Job(condition, arm, seed) for seed in seeds for condition, arms in facts.items() for arm in arms]
    waiting = [job for job in jobs if not fitted(folder, job).exists()]
    with get_context("spawn").Pool(workers, _begin, (project, batch, params, folder)) as pool:
        for _ in tqdm(pool.imap_unordered(_train, waiting), desc="fit", total=len(waiting), unit="network"):
            pass


def fitted(folder: Path, job: Job) -> Path:
    """Say where a job's probabilities lie."""
    return folder / f"{job.condition}_{job.arm}_{job.seed}.npy"


_GIVEN: tuple[Path, str, TrainParams, Path]


def _begin(*given: Any) -> None:  # noqa: ANN401 - what `fit` was given
    global _GIVEN  # noqa: PLW0603 - what a worker is started with
    _GIVEN = given


@cache
def _images() -> tuple[Store, pd.DataFrame]:
    project, batch, _, _ = _GIVEN
    store = Store(project)
    return store, store.read(Images, batch).set_index("image_id")


def _train(job: Job) -> None:
    _, _, params, folder = _GIVEN
    store, images = _images()
    selection = pd.read_parquet(folder / SETS / f"{job.condition}_{job.arm}.parquet")
    target = fitted(folder, job)
    scratch = target.with_suffix(".scratch")
    scratch.mkdir(exist_ok=True)
    _, trained = train_member(
        params.member,
        selection,
        open_pixels(store, images.loc[selection["image_id"]].reset_index()),
        diagnoses=diagnoses_in_scope(images["diagnosis"], params.classes),
        weights=weights_file(store, params.member),
        device=params.device,
        seed=job.seed,
        scratch=scratch,
    )
    partial = target.with_suffix(".partial.npy")
    np.save(partial, trained.probabilities["test"].astype(np.float32))
    partial.replace(target)
    shutil.rmtree(scratch)


def main(arguments: Sequence[str]) -> int:
    """Fit what the arguments say; return the exit status."""
    parser = batch_parser(
        "bench.gain.fitting", __doc__, folder="of the training sets, and of what is fitted", project="that is ingested"
    )
    add = parser.add_argument
    add("--profile", type=Path, required=True, help="whose member is trained")
    add("--member", default="lite0", help="of train.members (default: lite0)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3], help="of the training (default: four)")
    add("--workers", type=int, default=1, help="networks that are trained at a time")
    options = parser.parse_args(arguments)

    def run() -> None:
        tree = read_tree(options.profile)
        instance = f"{options.member}-{tree['arms'][0]}-{tree['seeds'][0]}"
        params = cast("TrainParams", stage_params(tree, "train", instance))
        fit(options.project, options.batch, params, options.folder, seeds=options.seeds, workers=options.workers)

    return status_of(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
