"""Images in scope with all that judging their labels needs, aligned row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.grouping import components, links
from pipeline.stages.label_noise.context import patient_context

Array = np.ndarray[Any, Any]
Described = tuple[pd.DataFrame, Array]  # the table Layers of one encoder and its features, row by row

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Labelled:
    """Images in scope, sorted by image_id.

    image_id: strings.
    classes: diagnoses in scope, sorted: the order of every probability vector.
    given: (n,) position of the given diagnosis in `classes`.
    vectors: (n, d) float32, unit norm, of the encoder that says what is near what.
    levels: (n, d) likewise of each layer of it, of what it sees on the way.
    further: (n, d) likewise of each layer of further encoders.
    members: (n, classes) what each fine-tuned member makes of it, out of fold; the benchmark knows of some.
    context: (n, numbers) float32, what is known of the patient.
    evidence: (n,) how the given diagnosis was confirmed, `unknown` where nobody says: never a feature.
    split: strings.
    group: (n,) number of the group: what one fold holds together.
    lesion: (n,) number of the lesion: images of one lesion, or of one photograph, are judged together.
    photograph: (n,) number of the photograph: shared by copies.
    removed: (n,) whose copy is kept in its place.
    voter: (n,) in train and not removed: the images that probes learn from.
    """

    image_id: Array
    classes: list[str]
    given: Array
    vectors: Array
    levels: tuple[Array, ...]
    further: tuple[Array, ...]
    members: tuple[Array, ...]
    context: Array
    evidence: Array
    split: Array
    group: Array
    lesion: Array
    photograph: Array
    removed: Array
    voter: Array

    @property
    def views(self) -> tuple[Array, ...]:
        """What judges labels: the encoder's vectors first."""
        return (self.vectors, *self.levels, *self.further)

    def names(self, positions: Array) -> Array:
        """Name diagnoses by their position."""
        return np.array(self.classes, dtype=object)[positions]


def align(
    images: pd.DataFrame,
    embeddings: pd.DataFrame,
    *,
    vectors: Array,
    levels: Described,
    further: Sequence[Described],
    groups: pd.DataFrame,
    duplicates: pd.DataFrame,
    classes: list[str],
    context: Sequence[str],
) -> Labelled:
    """Join the tables by image_id and keep the images in scope.

    Args:
        images: the table Images.
        embeddings: the table Embeddings.
        vectors: its vectors, row by row.
        levels: the encoder's table Layers and its features, row by row; empty where none is named.
        further: of each further encoder likewise.
        groups: the table Groups.
        duplicates: the table Duplicates.
        classes: diagnoses in scope.
        context: what of the patient the probes may know, columns of Images.

    Raises:
        UserError: tables of earlier stages speak of other images.

    """
    rows = images[images["diagnosis"].isin(classes)].sort_values("image_id")
    joined = rows.merge(groups, on="image_id", how="left").reset_index(drop=True)
    position = pd.Index(embeddings["image_id"]).get_indexer(joined["image_id"])
    unknown = joined.loc[joined["split"].isna() | (position < 0), "image_id"]
    if len(unknown):
        raise UserError(
            f"{len(unknown)} images, such as {unknown.iloc[0]}, lack an embedding or a group: run `dvc repro`"
        )
    names = joined["image_id"].tolist()
    copies = copy_edges(duplicates, names)
    same_lesion = links(names, joined["lesion_id"].tolist())
    split, removed = joined["split"].to_numpy(dtype=str), joined["duplicate_of"].notna().to_numpy()
    return Labelled(
        image_id=joined["image_id"].to_numpy(dtype=str),
        classes=classes,
        given=pd.Index(classes).get_indexer(pd.Index(joined["diagnosis"])),
        vectors=np.ascontiguousarray(vectors[position], dtype=np.float32),
        levels=further_views(levels, joined["image_id"]),
        further=tuple(view for one in further for view in further_views(one, joined["image_id"])),
        members=(),
        context=patient_context(joined, context),
        evidence=joined["label_evidence"].fillna(UNKNOWN).to_numpy(dtype=str),
        split=split,
        group=_numbers(joined["group_id"]),
        lesion=_numbers(components(names, copies + same_lesion)),
        photograph=_numbers(components(names, copies)),
        removed=removed,
        voter=(split == "train") & ~removed,
    )


def further_views(described: Described, image_ids: pd.Series[str]) -> tuple[Array, ...]:
    """Line up what an encoder's layers show: of each (n, d) float32 of unit norm.

    Channels have scales of their own, so every number is standardised over the images first.

    Raises:
        UserError: they lack an image.

    """
    table, features = described
    if table.empty:
        return ()
    position = pd.Index(table["image_id"]).get_indexer(pd.Index(image_ids))
    if (position < 0).any():
        raise UserError(f"the layers {list(table['layers'].iloc[0])} show some images only: run `dvc repro embed`")
    cuts = np.cumsum(table["widths"].iloc[0])[:-1]
    return tuple(_standardised(part) for part in np.split(features[position], cuts, axis=1))


def _standardised(found: Array) -> Array:
    found = found.astype(np.float32)  # levels are kept in half precision, in which sums would overflow
    found = (found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-6)
    norms = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return np.ascontiguousarray(found / norms, dtype=np.float32)


def copy_edges(duplicates: pd.DataFrame, names: list[str]) -> list[tuple[str, str]]:
    """List the pairs that show one photograph, where both images are in scope."""
    edges = duplicates.loc[duplicates["relation"] == "copy", ["a", "b"]]
    edges = edges[edges["a"].isin(names) & edges["b"].isin(names)]
    return list(zip(edges["a"], edges["b"], strict=True))


def by_lesion(values: Array, lesion: Array) -> Array:
    """Replace each row by the mean over its lesion: (n, k) to (n, k)."""
    sums = np.stack([np.bincount(lesion, column) for column in values.T], axis=1)
    means: Array = (sums / np.bincount(lesion)[:, None])[lesion]
    return means


def of_given(probabilities: Array, given: Array) -> Array:
    """Pick each row's value for its given diagnosis: (..., n, classes) to (..., n)."""
    picked: Array = probabilities[..., np.arange(len(given)), given]
    return picked


def _numbers(names: pd.Series[Any] | list[str]) -> Array:
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]
