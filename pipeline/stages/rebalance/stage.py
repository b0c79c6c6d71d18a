"""Build one arm's training set, with the stewards' decisions applied here and nowhere else."""

from __future__ import annotations

import json
import sys

import numpy as np

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.ledger import decisions, file
from pipeline.ledger.replay import replay
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.arms import build_arm, exclude, find_doubts, join_facts, select, summarise
from pipeline.stages.rebalance.decisions import apply_pair_verdicts, count_moved
from pipeline.stages.rebalance.params import RebalanceParams
from pipeline.stages.rebalance.tables import Exclusions, Selection


def run(store: Store, params: RebalanceParams, instance: str) -> None:
    """Write Selection, Exclusions and which decisions they hold, for the arm `instance`."""
    file.wait_for_appenders(store.root)
    path = store.input(decisions.PATH)
    ledger = file.read(path)
    images, groups = store.read(Images, params.batches), store.read(Groups)
    duplicates, scores = store.read(Duplicates), store.read(LabelScores)

    verdicts = replay(ledger.decisions, images)
    reviewed = apply_pair_verdicts(groups, images, duplicates, verdicts.pairs)
    diagnoses = diagnoses_in_scope(images["diagnosis"], params.classes)
    judged = build_arm(
        join_facts(images, groups, reviewed, scores, verdicts.images),
        instance,
        arms=params.arms,
        policy=params.label_policy,
        diagnoses=diagnoses,
        rng=np.random.default_rng(params.seed),
    )
    selection = select(judged, params.weights)
    doubts = find_doubts(selection, diagnoses)
    for doubt in doubts:
        print(f"warning: arm {instance}: {doubt}", file=sys.stderr)

    store.write(Selection, selection, instance=instance)
    store.write(Exclusions, exclude(judged), instance=instance)
    record = {"digest": ledger.digest, **verdicts.counts(), "stale_decisions": [vars(s) for s in verdicts.stale]}
    with store.output(f"data/rebalance/{instance}/ledger.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    facts = {"decisions": verdicts.counts(), "moved_by_decisions": count_moved(groups, reviewed), "warnings": doubts}
    store.report(f"rebalance/{instance}.json", summarise(judged, selection) | facts)
    file.require_unchanged(path, ledger.digest)
