"""Replay the stewards' ledger against the images at hand. No other stage reads it.

So all arms hold the same decisions, whenever one arrives: it applies at the next `dvc repro`, and a training set that
it leaves alone keeps its bytes, and its networks.
"""

from __future__ import annotations

from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.replay.apply import apply_ledger, in_force, summarise
from pipeline.stages.replay.pairs import count_moved
from pipeline.stages.replay.params import ReplayParams
from pipeline.stages.replay.tables import Decisions, ReviewedGroups


def run(store: Store, params: ReplayParams) -> None:
    """Write Decisions, ReviewedGroups and a summary that names the ledger which they hold."""
    images, groups, duplicates = store.read(Images, params.batches), store.read(Groups), store.read(Duplicates)
    for ledger in file.read_until_unchanged(store.root):
        store.input(PATH)
        verdicts, reviewed = apply_ledger(ledger.decisions, images, groups, duplicates, params)
        store.write(Decisions, in_force(verdicts))
        store.write(ReviewedGroups, reviewed)
        facts = {"digest": ledger.digest, "moved_by_decisions": count_moved(groups, reviewed)}
        store.report("replay/summary.json", summarise(verdicts, ledger.decisions, params) | facts)
