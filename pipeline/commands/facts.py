"""What the stages wrote, read once: counted for people, and held against the laws that must hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.grouping import SPLITS
from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images, Rejects
from pipeline.stages.label_noise.tables import LabelScores, OffTopicQueue, SuspectQueue
from pipeline.stages.rebalance.tables import Exclusions, Selection


@dataclass(frozen=True)
class Facts:
    """The tables of one finished run.

    raw_rows: by batch.
    suspect_queue, off_topic_queue: what waits for a person.
    selections, exclusions: by arm.
    ledgers: digest of the decisions that each arm holds, by arm.
    """

    raw_rows: Mapping[str, int]
    images: pd.DataFrame
    rejects: pd.DataFrame
    duplicates: pd.DataFrame
    groups: pd.DataFrame
    scores: pd.DataFrame
    suspect_queue: pd.DataFrame
    off_topic_queue: pd.DataFrame
    selections: Mapping[str, pd.DataFrame]
    exclusions: Mapping[str, pd.DataFrame]
    ledgers: Mapping[str, str]


def read_facts(store: Store, tree: Mapping[str, Any]) -> Facts:
    """Read the tables of the batches and arms that params.yaml lists.

    Raises:
        UserError: one is missing.

    """
    batches, arms = tree["batches"], tree["arms"]
    return Facts(
        raw_rows={batch: int(store.read_report(f"ingest/{batch}.json")["raw_rows"]) for batch in batches},
        images=store.read(Images, batches),
        rejects=store.read(Rejects, batches),
        duplicates=store.read(Duplicates),
        groups=store.read(Groups),
        scores=store.read(LabelScores),
        suspect_queue=store.read(SuspectQueue),
        off_topic_queue=store.read(OffTopicQueue),
        selections={arm: store.read(Selection, arm) for arm in arms},
        exclusions={arm: store.read(Exclusions, arm) for arm in arms},
        ledgers={arm: str(store.read_report(f"rebalance/{arm}.json")["decisions"].get("digest")) for arm in arms},
    )


def summarise(facts: Facts) -> dict[str, Any]:
    """Count what was read, rejected, found and selected; keys are stable, docs/results quotes them."""
    groups, scores, edges = facts.groups, facts.scores, facts.duplicates
    return {
        "raw_rows": sum(facts.raw_rows.values()),
        "images": len(facts.images),
        "images_by_diagnosis": _counts(facts.images["diagnosis"]),
        "rejects": len(facts.rejects),
        "rejects_by_reason": _counts(facts.rejects["reason"]),
        "duplicates": {
            "edges": {
                relation: {"all": len(part), **_counts(part["evidence"])}
                for relation, part in edges.groupby("relation", sort=True)
            },
            "copies": int(groups["duplicate_of"].notna().sum()),
            "groups": int(groups["group_id"].nunique()),
            "groups_of_several": int((groups["group_id"].value_counts() > 1).sum()),
        },
        "labels": {
            "scored": len(scores),
            "suspects": int(scores["suspect"].sum()),
            "suspects_by_given": _counts(scores.loc[scores["suspect"], "given"]),
        },
        "splits": {
            split: {"images": int((groups["split"] == split).sum()), "groups": _groups_in(groups, split)}
            for split in SPLITS
        },
        "arms": {arm: _arm(facts.selections[arm], facts.exclusions[arm]) for arm in facts.selections},
    }


def accounts(facts: Facts) -> dict[str, str]:
    """Write down for every arm that raw rows = Selection ⊎ Exclusions ⊎ Rejects."""
    raw = sum(facts.raw_rows.values())
    return {
        arm: f"{raw:,} raw rows = {len(facts.selections[arm]):,} selected ⊎ {len(facts.exclusions[arm]):,} excluded "
        f"⊎ {len(facts.rejects):,} rejected"
        for arm in facts.selections
    }


def find_problems(facts: Facts) -> list[str]:
    """Say which laws do not hold: every row accounted for once, no group in two splits, one test set, one ledger."""
    raw, ingested = sum(facts.raw_rows.values()), set(facts.images["image_id"])
    problems = []
    if raw != len(facts.images) + len(facts.rejects):
        problems.append(f"{raw} raw rows are not {len(facts.images)} images and {len(facts.rejects)} rejects")
    problems += _parted(facts.groups, "Groups")
    held: dict[str, frozenset[str]] = {}
    for arm, selection in facts.selections.items():
        selected, excluded = set(selection["image_id"]), set(facts.exclusions[arm]["image_id"])
        for what, images in (
            ("both selected and excluded", selected & excluded),
            ("neither selected nor excluded", ingested - selected - excluded),
            ("selected or excluded, but not ingested", (selected | excluded) - ingested),
        ):
            if images:
                problems.append(f"arm {arm}: {len(images)} images are {what}, such as {min(images)}")
        problems += _parted(selection, f"arm {arm}")
        held[arm] = frozenset(selection.loc[selection["split"] != "train", "image_id"])
    if len(set(held.values())) > 1:
        problems.append("the arms differ in their validation and test images")
    if len(set(facts.ledgers.values())) > 1:
        problems.append("the arms hold different decisions: run `dvc repro`")
    return problems


def read_runs(root: Path, listed: Sequence[str]) -> dict[str, dict[str, float]]:
    """Read wall time and peak memory of the latest run of each listed stage instance that ran here."""
    path = root / "data/.cache/runs.jsonl"
    latest: dict[str, dict[str, float]] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        run = json.loads(line)
        latest[run["stage"]] = {"seconds": run["seconds"], "peak_mib": run["peak_mib"]}
    return {name: latest[name] for name in listed if name in latest}


def _arm(selection: pd.DataFrame, exclusions: pd.DataFrame) -> dict[str, Any]:
    return {
        "selected": len(selection),
        "selected_by_split": {split: int((selection["split"] == split).sum()) for split in SPLITS},
        "excluded": len(exclusions),
        "excluded_by_reason": _counts(exclusions["reason"]),
    }


def _groups_in(groups: pd.DataFrame, split: str) -> int:
    return int(groups.loc[groups["split"] == split, "group_id"].nunique())


def _parted(frame: pd.DataFrame, where: str) -> list[str]:
    splits = frame.groupby("group_id")["split"].nunique()
    parted = splits.index[splits > 1]
    return [f"{where}: {len(parted)} groups are in two splits, such as {parted[0]}"] if len(parted) else []


def _counts(values: pd.Series[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}
