"""Training sets with planted errors: one for each arm, as the pipeline's own stages build them.

Groups, which `dedup` has verified, are dealt to K outer folds, and each fold is the test set once. Of the rest a share
is validation, by the same hash as in the DAG. Errors are planted in train and validation, as a scrape has them; the
test set keeps the labels that are taken for the truth. The steward of the arm `curated` is played: he works down the
queue for some hours, at the pace that the queue expects, and knows the truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from bench.cache import code_digest, key_of, replacing
from bench.label_noise.collection import Collection
from bench.label_noise.planting import plant
from bench.parts import take_part
from pipeline.core.grouping import unit_split
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.ledger.decisions import KEEP, RELABEL
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.reading import read_labelled
from pipeline.stages.label_noise.stage import find_label_errors
from pipeline.stages.rebalance.arms import build_arm, join_facts, select, with_sureness
from pipeline.stages.rebalance.params import Balance, RebalanceParams

PUBLISHED = ""  # the shape of no noise
CEILING = "right labels"  # copies removed, no label wrong
JUDGES = ("pipeline.stages.label_noise",)
VALIDATION_SHARE = 0.15  # of the groups outside the test fold

Built = tuple[pd.DataFrame, NDArray[np.float32]]  # the table Selection, and its vector `target`
Builder = Callable[[Balance], Built]


class Cell(NamedTuple):
    """One planting and one test fold.

    shape: of the noise, a key of `planting.SHAPES`, or `PUBLISHED`.
    rate: share of the lesions that are mislabelled.
    seed: of the folds, the planting and the training.
    fold: number of the test fold.
    """

    shape: str
    rate: float
    seed: int
    fold: int

    @property
    def condition(self) -> str:
        """Name of the noise."""
        return f"{self.shape}, {self.rate:.0%}" if self.shape else "labels as published"


@dataclass(frozen=True)
class Terms:
    """What all cells share: where the images are, and how sets are built.

    root, batches, lesions: the project, and what is read of it; the part of the batches, of `bench.parts`.
    judging: params of `label_noise`.
    building: params of `rebalance`.
    hours: of the steward's work.
    folds: outer ones.
    cache: folder of judgements and of what is fitted.
    """

    root: Path
    batches: tuple[str, ...]
    lesions: str
    judging: LabelNoiseParams
    building: RebalanceParams
    hours: float
    folds: int
    cache: Path

    @property
    def project(self) -> Project:
        """Read once a process."""
        one = self.judging
        classes = one.classes if isinstance(one.classes, str) else tuple(one.classes)
        return read_project(
            self.root, self.batches, self.lesions, tuple(one.encoders), tuple(one.context), classes=classes
        )


@dataclass(frozen=True)
class Project:
    """What is read of a project.

    images, groups: the tables, of images in scope.
    labelled: the images as `label_noise` sees them, labels as published.
    digest: of all that is read.
    """

    store: Store
    images: pd.DataFrame
    groups: pd.DataFrame
    labelled: Dataset
    digest: str

    @cached_property
    def group_ids(self) -> NDArray[np.str_]:
        """Group of each image, (n,)."""
        return self.groups["group_id"].to_numpy(dtype=str)


@cache
def read_project(
    root: Path,
    batches: tuple[str, ...],
    lesions: str,
    encoders: tuple[str, ...],
    context: tuple[str, ...],
    *,
    classes: str | tuple[str, ...],
) -> Project:
    """Read batches that are ingested, embedded and deduplicated.

    Raises:
        UserError: a stage has not run.

    """
    store = Store(root)
    images = take_part(store.read(Images, batches), lesions).sort_values("image_id")
    groups, in_scope = store.read(Groups), diagnoses_in_scope(images["diagnosis"], classes)
    labelled = read_labelled(
        store, images, batches, encoders=encoders, groups=groups, classes=in_scope, context=context
    )
    images, groups = (
        table.set_index("image_id").loc[pd.Index(labelled.image_id, name="image_id")].reset_index()
        for table in (images, groups)
    )
    digest = hashlib.sha256(images.to_csv().encode() + groups.to_csv().encode())
    for view in labelled.views:
        digest.update(view.tobytes())
    return Project(store, images, groups, labelled, digest.hexdigest())


def split_of(project: Project, *, folds: int, seed: int, fold: int) -> NDArray[np.str_]:
    """Say where each image lies while a fold is the test set: (n,). Every diagnosis is spread over the folds."""
    labelled = project.labelled
    dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    _, test = list(dealt.split(labelled.given, labelled.given, labelled.group))[fold]
    split = hashed(project.group_ids, salt=f"{seed} {fold}")
    split[test] = "test"
    return split


def hashed(units: Sequence[str] | NDArray[np.str_], *, salt: str) -> NDArray[np.str_]:
    """Hash units to train and validation: (n,)."""
    named = [unit_split(str(unit), salt=salt, validation_share=VALIDATION_SHARE, test_share=0.0) for unit in units]
    return np.array(named, dtype="<U10")


def arms_of(terms: Terms, cell: Cell, arms: Sequence[str]) -> tuple[Mapping[str, Builder], Mapping[str, Any]]:
    """Plant, judge, let the steward work, and build arms.

    Returns:
        by arm, what makes its training set under a policy for rare classes; facts of the cell: by arm the images of
        train and the wrong labels among them, the steward's decisions.

    """
    project = terms.project
    split = split_of(project, folds=terms.folds, seed=cell.seed, fold=cell.fold)
    kept = np.where(project.labelled.removed, "", split)
    builders: dict[str, Builder] = {CEILING: published(project, kept)}
    facts: dict[str, Any] = {CEILING: {"train": int((kept == "train").sum()), "wrong": 0, "shared_out": 0}}
    if set(arms) == {CEILING}:
        return builders, facts
    truth = replace(project.labelled, split=split, reference=kept == "train")
    noisy = mislabel(truth, cell)
    images = project.images.assign(diagnosis=noisy.names(noisy.given))
    groups = project.groups.assign(split=split)
    scores, posterior, queue = judge(noisy, terms.judging, project.digest, terms.cache)
    decisions = decide(truth, noisy, queue, minutes=60 * terms.hours if cell.shape else 0.0)
    known = join_facts(images, groups, groups, with_sureness(scores, posterior), decisions)
    by_image = pd.DataFrame(posterior, index=scores["image_id"], columns=truth.classes)
    right = pd.Series(truth.names(truth.given), index=truth.image_id)
    for arm in [name for name in arms if name != CEILING]:
        judged = build_arm(
            known,
            arm,
            arms=terms.building.arms,
            policy=terms.building.label_policy,
            diagnoses=truth.classes,
            rng=np.random.default_rng(cell.seed),
        )
        builders[arm] = partial(select, judged, posterior=by_image, diagnoses=truth.classes)
        train = judged[(judged["split"] == "train") & (judged["reason"] == "")]
        wrong = train["diagnosis"].to_numpy() != right[train["image_id"]].to_numpy()
        facts[arm] = {"train": len(train), "wrong": int(wrong.sum()), "shared_out": int(train["soft"].sum())}
    return builders, facts | {"decisions": len(decisions)}


def published(project: Project, split: NDArray[np.str_]) -> Builder:
    """Build a training set from labels as published; `split` is "" for an image that is left out, (n,)."""
    labelled = project.labelled
    names = labelled.names(labelled.given)
    rows = project.groups.assign(split=split, given=names, diagnosis=names, reason="", soft=False, factor=1.0)
    rows = rows.assign(error_probability=np.nan)[split != ""]
    none = pd.DataFrame(columns=labelled.classes, dtype=float)
    return partial(select, rows, posterior=none, diagnoses=labelled.classes)


def mislabel(truth: Dataset, cell: Cell) -> Dataset:
    """Plant errors in train and validation; the images of a lesion, verified copies among them, share a label."""
    if not cell.shape:
        return truth
    planted = plant(Collection("", truth, []), cell.shape, rate=cell.rate, per="lesion", seed=cell.seed)
    open_ = truth.split != "test"
    return replace(
        truth,
        given=np.where(open_, planted.given, truth.given),
        evidence=np.where(open_, planted.evidence, truth.evidence),
    )


def judge(
    noisy: Dataset, params: LabelNoiseParams, digest: str, folder: Path
) -> tuple[pd.DataFrame, NDArray[np.float64], pd.DataFrame]:
    """Find label errors, or read what was found: LabelScores, the posterior (n, classes), and SuspectQueue.

    Args:
        noisy: labels with errors.
        params: of the stage.
        digest: of all else that the stage reads.
        folder: of what was found.

    """
    labels = [array.tobytes() for array in (noisy.given, noisy.evidence, noisy.split)]
    name = key_of([digest, labels, params.model_dump_json(), code_digest(JUDGES)])
    path = folder / f"judged {name}.parquet"
    queue = path.with_suffix(".queue.parquet")
    if not path.exists():
        with threadpool_limits(limits=1):  # as the stage does
            found = find_label_errors(noisy, params)
        columns = pd.DataFrame(found.posterior, columns=noisy.classes).add_prefix("posterior ")
        with replacing(queue) as file:
            found.queue.to_parquet(file)
        with replacing(path) as file:
            pd.concat([found.scores.reset_index(drop=True), columns], axis=1).to_parquet(file)
    scores = pd.read_parquet(path)
    posterior = scores.filter(regex="^posterior ").to_numpy(dtype=np.float64)
    return scores, posterior, pd.read_parquet(queue)


def decide(truth: Dataset, noisy: Dataset, queue: pd.DataFrame, *, minutes: float) -> pd.DataFrame:
    """Let a steward who knows the truth work down the queue: rows of Decisions, one an image that he comes to."""
    seen = queue.loc[queue["minutes_so_far"] <= minutes, "image_id"]
    position = pd.Index(noisy.image_id).get_indexer(pd.Index(seen))
    given, right = noisy.names(noisy.given[position]), truth.names(truth.given[position])
    wrong = np.asarray(given) != np.asarray(right)
    return pd.DataFrame(
        {
            "image_id": seen.to_numpy(),
            "verdict": np.where(wrong, RELABEL, KEEP),
            "to": np.where(wrong, right, np.array(None, dtype=object)),
            "steward": "played",
        }
    )
