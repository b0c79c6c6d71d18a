"""Replay the stewards' ledger against the images at hand. No other stage reads it.

So all arms hold the same decisions, whenever one arrives: it applies at the next `dvc repro`, and a training set that
it leaves alone keeps its bytes, and its networks.
"""

from __future__ import annotations

import pandas as pd

from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.replay import Verdicts, replay
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.replay.pairs import apply_pair_verdicts, count_moved
from pipeline.stages.replay.params import ReplayParams
from pipeline.stages.replay.tables import Decisions, ReviewedGroups


def run(store: Store, params: ReplayParams) -> None:
    """Write Decisions, ReviewedGroups and a summary that names the ledger which they hold."""
    images, groups, duplicates = store.read(Images, params.batches), store.read(Groups), store.read(Duplicates)
    for ledger in file.read_until_unchanged(store.root):
        store.input(PATH)
        verdicts = replay(ledger.decisions, images)
        reviewed = apply_pair_verdicts(groups, images, duplicates, verdicts.pairs)
        store.write(Decisions, in_force(verdicts))
        store.write(ReviewedGroups, reviewed)
        stale = [vars(decision) for decision in verdicts.stale]
        facts = {"digest": ledger.digest, "stale_decisions": stale, "moved_by_decisions": count_moved(groups, reviewed)}
        store.report("replay/summary.json", verdicts.counts() | facts)


def in_force(verdicts: Verdicts) -> pd.DataFrame:
    """List the decisions in force on images: the rows of Decisions."""
    rows = [(image, d.verdict, d.to or None, d.steward) for image, d in verdicts.images.items()]
    return pd.DataFrame(rows, columns=["image_id", "verdict", "to", "steward"])
