"""Training sets with planted errors: one for each arm, as the pipeline's own stages build them.

Errors are planted in train and validation, as a scrape has them; the test set keeps the labels that are taken for the
truth. The steward of the arm `curated` is played: he works down the queue for some hours, at the pace that the queue
expects, and knows the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.gain.fitting import Planned
from bench.label_noise.collection import read_collection
from bench.label_noise.planting import plant
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
from pipeline.stages.rebalance.params import RebalanceParams

PUBLISHED = "as published"
ARMS = ("raw", "clean", "curated", "random_removal")
PUBLISHED_ARMS = ("raw", "curated", "random_removal")  # without decisions, `curated` is `clean`


@dataclass(frozen=True)
class Project:
    """What is read once of a project.

    images, groups: the tables, of one batch.
    labelled: all images in scope as `label_noise` sees them, labels as published.
    """

    store: Store
    batch: str
    images: pd.DataFrame
    groups: pd.DataFrame
    labelled: Dataset


def read_project(root: Path, batch: str, params: LabelNoiseParams) -> Project:
    """Read a batch that is ingested, embedded and deduplicated.

    Raises:
        UserError: a stage has not run.

    """
    store = Store(root)
    images = store.read(Images, batch).sort_values("image_id")
    groups, classes = store.read(Groups), diagnoses_in_scope(images["diagnosis"], params.classes)
    labelled = read_labelled(
        store,
        images,
        [batch],
        encoders=params.encoders,
        groups=groups,
        classes=classes,
        context=params.context,
    )
    return Project(store, batch, images, groups, labelled)


def plan(
    project: Project,
    shape: str | None,
    *,
    rate: float,
    seed: int,
    hours: float,
    judging: LabelNoiseParams,
    building: RebalanceParams,
) -> Iterator[Planned]:
    """Plant, judge, let the steward work, and build every arm.

    Args:
        project: the images.
        shape: of the noise; None: labels as published, and no steward.
        rate: share of the lesions, of any split, that are drawn; those of the test set stay right.
        seed: of the planting.
        hours: of the steward's work.
        judging: params of `label_noise`.
        building: params of `rebalance`.

    """
    truth, condition = project.labelled, PUBLISHED if shape is None else f"{shape}, {rate:.0%}"
    noisy = truth if shape is None else _mislabel(project, shape, rate=rate, seed=seed, encoders=judging.encoders)
    found = find_label_errors(noisy, judging)
    decisions = _decide(truth, noisy, found.queue, minutes=0.0 if shape is None else 60 * hours)
    given = pd.Series(noisy.names(noisy.given), index=noisy.image_id)
    images = project.images.assign(diagnosis=project.images["image_id"].map(given).fillna(project.images["diagnosis"]))
    facts = join_facts(images, project.groups, project.groups, with_sureness(found.scores, found.posterior), decisions)
    posterior = pd.DataFrame(found.posterior, index=found.scores["image_id"], columns=truth.classes)
    right = pd.Series(truth.names(truth.given), index=truth.image_id)
    for arm in PUBLISHED_ARMS if shape is None else ARMS:
        judged = build_arm(
            facts,
            arm,
            arms=building.arms,
            policy=building.label_policy,
            diagnoses=truth.classes,
            rng=np.random.default_rng(building.seed),
        )
        selection, target = select(judged, building.balance, posterior=posterior, diagnoses=truth.classes)
        train = selection[selection["split"] == "train"]
        wrong = int((train["diagnosis"] != train["image_id"].map(right)).sum())
        counts = {"train": len(train), "wrong_in_train": wrong, "decisions": len(decisions)}
        yield Planned(condition, arm, selection, target, counts)


def _mislabel(project: Project, shape: str, *, rate: float, seed: int, encoders: Sequence[str]) -> Dataset:
    """Plant errors in train and validation; a removed copy carries the label of its lesion."""
    collection = read_collection(project.store.root, project.batch, encoders)
    planted = plant(collection, shape, rate=rate, per="lesion", seed=seed)
    truth = project.labelled
    kept = pd.Series(np.arange(len(collection.labelled.image_id)), index=collection.labelled.image_id)
    # Every copy lies in the lesion of a kept image.
    by_lesion = pd.Series(truth.image_id).map(kept).groupby(truth.lesion).transform("first")
    known = by_lesion.notna().to_numpy() & (truth.split != "test")
    source = by_lesion.fillna(0).to_numpy(dtype=int)
    return replace(
        truth,
        given=np.where(known, planted.given[source], truth.given),
        evidence=np.where(known, planted.evidence[source], truth.evidence),
    )


def _decide(truth: Dataset, noisy: Dataset, queue: pd.DataFrame, *, minutes: float) -> pd.DataFrame:
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
