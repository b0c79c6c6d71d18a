"""Build one arm's training set, with the stewards' decisions as `replay` wrote them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.arms import build_arm, exclude, find_doubts, join_facts, select, summarise, with_sureness
from pipeline.stages.rebalance.params import RebalanceParams
from pipeline.stages.rebalance.tables import Exclusions, Selection
from pipeline.stages.replay.tables import Decisions, ReviewedGroups

LEDGER = ("digest", "recorded", "applied", "superseded", "stale")


def run(store: Store, params: RebalanceParams, instance: str) -> None:
    """Write Selection, Exclusions and a report that names the ledger which they hold, for the arm `instance`."""
    images, replayed = store.read(Images, params.batches), store.read_report("replay/summary.json")
    diagnoses = diagnoses_in_scope(images["diagnosis"], params.classes)
    scores, posterior = store.read(LabelScores), store.vectors(LabelScores, "posterior")
    built = build_arm(
        join_facts(
            images,
            store.read(Groups),
            store.read(ReviewedGroups),
            with_sureness(scores, posterior),
            store.read(Decisions),
        ),
        instance,
        arms=params.arms,
        policy=params.label_policy,
        diagnoses=diagnoses,
        rng=np.random.default_rng(params.seed),
    )
    by_image = pd.DataFrame(posterior, index=scores["image_id"], columns=diagnoses)
    selection, target = select(built, params.balance, posterior=by_image, diagnoses=diagnoses)
    doubts = find_doubts(selection, diagnoses)
    for doubt in doubts:
        print(f"warning: arm {instance}: {doubt}", file=sys.stderr)

    store.write(Selection, selection, instance=instance, vectors={"target": target})
    store.write(Exclusions, exclude(built), instance=instance)
    facts = {"decisions": {name: replayed[name] for name in LEDGER}, "warnings": doubts}
    store.report(f"rebalance/{instance}.json", summarise(built, selection) | facts)
