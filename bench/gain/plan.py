"""Training sets with planted errors: one for each arm, as the pipeline's own stages build them.

Errors are planted in train and validation, as a scrape has them; the test set keeps the labels that are taken for the
truth. The steward of the arm `curated` is played: he works down the queue for some hours, at the pace that the queue
expects, and knows the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.gain.fitting import Planned
from bench.label_noise.collection import read_collection
from bench.label_noise.planting import plant
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.ledger.decisions import KEEP, RELABEL, Decision
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.judging import judge_labels
from pipeline.stages.label_noise.labelled import Labelled
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.reading import read_labelled
from pipeline.stages.rebalance.arms import build_arm, join_facts, select
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
    labelled: Labelled


def read_project(root: Path, batch: str, params: LabelNoiseParams) -> Project:
    """Read a batch that is ingested, embedded and deduplicated.

    Raises:
        UserError: a stage has not run.

    """
    store = Store(root)
    images = store.read(Images, batch).sort_values("image_id")
    groups, classes = store.read(Groups), diagnoses_in_scope(images["diagnosis"], params.classes)
    labelled = read_labelled(
        store, images, [batch], groups=groups, classes=classes, context=params.context, members=False
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
    noisy = truth if shape is None else _mislabel(project, shape, rate=rate, seed=seed)
    found = judge_labels(noisy, judging)
    verdicts = {} if shape is None else _decide(truth, noisy, found.queue, minutes=60 * hours)
    given = pd.Series(noisy.names(noisy.given), index=noisy.image_id)
    images = project.images.assign(diagnosis=project.images["image_id"].map(given).fillna(project.images["diagnosis"]))
    facts = join_facts(images, project.groups, project.groups, found.scores, verdicts)
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
        selection = select(judged, building.weights)
        train = selection[selection["split"] == "train"]
        wrong = int((train["diagnosis"] != train["image_id"].map(right)).sum())
        counts = {"train": len(train), "wrong_in_train": wrong, "decisions": len(verdicts)}
        yield Planned(condition, arm, selection, counts)


def _mislabel(project: Project, shape: str, *, rate: float, seed: int) -> Labelled:
    """Plant errors in train and validation; a removed copy carries the label of its lesion."""
    collection = read_collection(project.store.root, project.batch)
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


def _decide(truth: Labelled, noisy: Labelled, queue: pd.DataFrame, *, minutes: float) -> dict[str, Decision]:
    """Let a steward who knows the truth work down the queue: the decision on each image that he comes to."""
    seen = queue.loc[queue["minutes_so_far"] <= minutes, "image_id"]
    position = pd.Index(noisy.image_id).get_indexer(pd.Index(seen))
    given, right = noisy.names(noisy.given[position]), truth.names(truth.given[position])
    return {
        image: Decision(
            image_id=image,
            sha256="-",
            other_image_id="",
            queue="suspects",
            verdict=KEEP if was == is_ else RELABEL,
            given=was,
            to="" if was == is_ else is_,
            steward="played",
            decided_at="2026-01-01T00:00:00+00:00",
            reason="knows the truth",
            tool="bench",
        )
        for image, was, is_ in zip(seen, given, right, strict=True)
    }
