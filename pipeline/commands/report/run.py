"""What the report shows of one finished run: the stages' tables, joined by image, and the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.commands.facts import Facts
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.review.samples import join_tables, plane
from pipeline.stages.dedup.report import conflicts
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.embed.tables import read_embeddings
from pipeline.stages.ingest.tables import open_pixels
from pipeline.stages.rebalance.tables import Selection


@dataclass(frozen=True)
class Run:
    """One finished run.

    tree: params.yaml, checked.
    results: from `results.collect`.
    facts: the tables.
    arm: the one that stands for the product.
    rows: of every image all that is known of it, from `join_tables`; index image_id, sorted.
    pixels: of the images, in the order of `facts.images`.
    """

    store: Store
    tree: Mapping[str, Any]
    results: Mapping[str, Any]
    facts: Facts
    arm: str
    rows: pd.DataFrame
    pixels: Pixels

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What `evaluate` measured."""
        metrics: Mapping[str, Any] = self.results["metrics"]
        return metrics

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each image is in `pixels`."""
        return {image: i for i, image in enumerate(self.facts.images["image_id"])}

    @cached_property
    def diagnoses(self) -> list[str]:
        """Those in scope, sorted: the order of every vector over diagnoses."""
        return list(diagnoses_in_scope(self.facts.images["diagnosis"], self.tree["classes"]))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The table LabelScores by image_id."""
        return self.facts.scores.set_index("image_id", drop=False)

    @cached_property
    def conflicts(self) -> pd.DataFrame:
        """Verified pairs with unlike diagnoses, of different lesions or batches, those of unlike diagnoses first."""
        found = conflicts(self.facts.duplicates, self.facts.images)
        return found.sort_values(["across_diagnoses", "relation", "a", "b"], ascending=[False, True, True, True])

    @cached_property
    def transforms(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Homography of every pair, (3, 3), from pixels of a to pixels of b."""
        edges = self.facts.duplicates
        matrices = self.store.vectors(Duplicates, "transform").reshape(-1, 3, 3).astype(np.float64)
        return dict(zip(zip(edges["a"], edges["b"], strict=True), matrices, strict=True))

    def targets(self, arm: str) -> pd.DataFrame:
        """Say how far each image of an arm counts as each diagnosis in scope: rows of its Selection by diagnosis."""
        values = self.store.vectors(Selection, "target", arm)
        return pd.DataFrame(values, index=self.facts.selections[arm]["image_id"], columns=self.diagnoses)

    @cached_property
    def positions(self) -> pd.DataFrame:
        """The images on a plane, by the main encoder's vectors: x and y by image_id."""
        embeddings, vectors = read_embeddings(self.store, self.tree["encoders"][0], self.tree["batches"])
        return pd.DataFrame(plane(vectors), index=embeddings["image_id"], columns=["x", "y"])

    def diagnosis(self, image: str) -> str:
        """The diagnosis as ingested."""
        return str(self.rows.loc[image, "diagnosis"])


def read_run(store: Store, tree: Mapping[str, Any], facts: Facts, results: Mapping[str, Any]) -> Run:
    """Read all that the report shows.

    Args:
        store: the project.
        tree: params.yaml, checked.
        facts: its tables.
        results: from `results.collect`.

    Raises:
        UserError: a stage has not run.

    """
    arm = results["metrics"]["headline_arm"]
    rows = join_tables(
        facts.images,
        facts.groups,
        facts.duplicates,
        facts.scores,
        selection=facts.selections[arm],
        exclusions=facts.exclusions[arm],
    )
    return Run(
        store=store,
        tree=tree,
        results=results,
        facts=facts,
        arm=arm,
        rows=rows.set_index("image_id", drop=False),
        pixels=open_pixels(store, facts.images),
    )
