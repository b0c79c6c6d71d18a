"""Train members on every training set with every recipe, several cells at a time; what is on disk is not fitted again.

A recipe to try is a loss, a policy for rare classes and a learning rate. Every arm gets the same ones.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from bench.cache import code_digest, key_of, replacing
from bench.gain.plan import Builder, Cell, Terms
from bench.processes import in_workers
from pipeline.core.store import Store
from pipeline.models.fit import balanced_scores
from pipeline.models.params import FineTuned, LossName, Member, Probe
from pipeline.models.trainable import Trained
from pipeline.stages.rebalance.params import Balance
from pipeline.stages.train.encoder_features import read_features
from pipeline.stages.train.member import Task, train_on_features
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.stage import train_on

TRAINING = ("pipeline.models", "pipeline.stages.train")
CODE = (
    *TRAINING,
    "pipeline.stages.label_noise",
    "pipeline.stages.rebalance",
    "bench.label_noise.planting",
    "bench.gain",
)

Sets = Callable[[Terms, Cell, Sequence[str]], tuple[Mapping[str, Builder], Mapping[str, Any]]]


class Try(NamedTuple):
    """A recipe: the loss, the policy for rare classes, and what the member's learning rate is multiplied with.

    Heads and probes have no learning rate: they choose the strength of their penalty in every try.
    """

    loss: LossName
    policy: str
    rate_factor: float = 1.0

    @property
    def name(self) -> str:
        """Name it in a table."""
        return f"{self.loss} {self.policy}" + ("" if self.rate_factor == 1.0 else f" x{self.rate_factor:g}")


@dataclass(frozen=True)
class Run:
    """What is fitted.

    terms: of all cells.
    members: what `train` would receive of each, by name.
    arms: training sets.
    tries: recipes.
    sets: makes the training sets of a cell.
    code: digest of what makes and trains them.
    """

    terms: Terms
    members: Mapping[str, TrainParams]
    arms: Sequence[str]
    tries: Sequence[Try]
    sets: Sets
    code: str = field(default_factory=lambda: code_digest(CODE))

    def path(self, cell: Cell, arm: str, member: str, tried: Try) -> Path:
        """Say where a fit lies."""
        return self._file("fit", cell, arm, self.members[member].member, tried).with_suffix(".npz")

    def facts(self, cell: Cell) -> Path:
        """Say where what is known of a cell's training sets lies."""
        return self._file("facts", cell, tuple(self.arms)).with_suffix(".json")

    def _file(self, kind: str, *parts: object) -> Path:
        terms = self.terms
        shared = [terms.project.digest, terms.judging.model_dump_json(), terms.building.model_dump_json()]
        shared += [str(terms.hours), str(terms.folds), self.sets.__module__, self.code]
        return terms.cache / f"{kind} {key_of([*shared, *parts])}"


@dataclass(frozen=True)
class Fit:
    """What came of a training.

    image_id, probabilities: of the test fold, (n,) and (n, classes).
    validation, actual: probabilities and labels of validation, (m, classes) and (m,).
    """

    image_id: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    validation: NDArray[np.float64]
    actual: NDArray[np.int64]

    @property
    def quality(self) -> tuple[float, float]:
        """Rank it by validation alone: balanced accuracy, then the balanced log loss, less of which is better."""
        accuracy, log_loss = balanced_scores(self.validation, self.actual)
        return accuracy, -log_loss


def fit_all(run: Run, cells: Sequence[Cell], *, workers: int) -> None:
    """Fit whatever is not on disk, cell by cell."""
    waiting = [cell for cell in cells if _lacking(run, cell)]
    if workers == 1:  # a process of its own would only read everything once more
        for cell in tqdm(waiting, desc="fit", unit="fold"):
            _fit_cell(run, cell)
    else:
        in_workers(partial(_fit_cell, run), waiting, workers=workers, label="fit", unit="fold")


def read(path: Path) -> Fit:
    """Read a fit."""
    with np.load(path) as kept:
        return Fit(
            kept["image_id"], kept["probabilities"].astype(float), kept["validation"].astype(float), kept["actual"]
        )


def _lacking(run: Run, cell: Cell) -> list[tuple[str, Try, str]]:
    wanted = [(arm, tried, member) for arm in run.arms for tried in run.tries for member in run.members]
    lacking = [one for one in wanted if not run.path(cell, one[0], one[2], one[1]).exists()]
    return lacking or ([] if run.facts(cell).exists() else wanted[:1])


def _fit_cell(run: Run, cell: Cell) -> None:
    lacking = _lacking(run, cell)
    if not lacking:
        return
    builders, facts = run.sets(run.terms, cell, run.arms)
    for arm, tried, member in lacking:
        balance = Balance.model_validate(run.terms.building.balance.model_dump() | {"policy": tried.policy})
        selection, target = builders[arm](balance)
        seen = _seen(run, run.members[member])
        recipe = _tuned(run.members[member].member, tried.rate_factor)
        inputs = [seen, selection.to_csv(), target.tobytes(), recipe, tried.loss, tried.policy]
        made = run.terms.cache / f"trained {key_of([*inputs, cell.seed, code_digest(TRAINING)])}.npz"
        path = run.path(cell, arm, member, tried)
        if made.exists():  # another arm, or this one before its code changed, had the same images
            shutil.copyfile(made, path)
            continue
        _fit(run, path, selection, target, member=run.members[member], tried=tried, seed=cell.seed)
        with suppress(FileExistsError):  # another cell's process was faster
            made.hardlink_to(path)
    with replacing(run.facts(cell)) as file:
        file.write(json.dumps(facts).encode())


def _seen(run: Run, member: TrainParams) -> str:
    """Digest what a member sees of all images."""
    terms, recipe = run.terms, member.member
    if not isinstance(recipe, Probe):
        return terms.project.digest
    return _features_digest(terms.root, recipe.backbone, terms.batches, tuple(terms.project.images["image_id"]))


def _fit(
    run: Run,
    path: Path,
    selection: pd.DataFrame,
    target: NDArray[np.float32],
    *,
    member: TrainParams,
    tried: Try,
    seed: int,
) -> None:
    scratch = path.with_suffix(".scratch")
    scratch.mkdir(parents=True, exist_ok=True)
    project = run.terms.project
    task = Task(selection, target, project.labelled.classes, loss=tried.loss, seed=seed, scratch=scratch)
    tuned = _tuned(member.member, tried.rate_factor)
    params = member.model_copy(update={"batches": list(run.terms.batches), "member": tuned})
    trained = _train(project.store, params, task, project.images)
    test, validation = (selection["split"] == split for split in ("test", "validation"))
    with replacing(path) as file:
        np.savez(
            file,
            image_id=selection.loc[test, "image_id"].to_numpy(dtype=str),
            probabilities=trained.probabilities["test"].astype(np.float32),
            validation=trained.probabilities["validation"].astype(np.float32),
            actual=target[validation.to_numpy()].argmax(axis=1),
        )
    shutil.rmtree(scratch)


def _tuned(member: Member, factor: float) -> Member:
    """Multiply the learning rate of a member that has one."""
    if not isinstance(member, FineTuned):
        return member
    return member.model_copy(update={"learning_rate": member.learning_rate * factor})


def _train(store: Store, params: TrainParams, task: Task, images: pd.DataFrame) -> Trained:
    """Train as the stage does, but read a probe's features once a process."""
    member = params.member
    if not isinstance(member, Probe):
        return train_on(store, params, task, images)[1]
    known = tuple(images["image_id"])
    matrix = _features(store.root, member.backbone, tuple(params.batches), known)
    rows = pd.Index(known).get_indexer(pd.Index(task.selection["image_id"]))
    return train_on_features(member, task, matrix[rows], device=params.device)


@cache
def _features(root: Path, encoder: str, batches: tuple[str, ...], image_ids: tuple[str, ...]) -> NDArray[np.float32]:
    return read_features(Store(root), encoder, batches, pd.Series(image_ids)).matrix


@cache
def _features_digest(root: Path, encoder: str, batches: tuple[str, ...], image_ids: tuple[str, ...]) -> str:
    return hashlib.sha256(_features(root, encoder, batches, image_ids).tobytes()).hexdigest()
