"""The dataset: images in scope with all that scoring their labels needs, aligned row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.core.grouping import components, links
from pipeline.stages.embed.tables import of_network, split_layers

# The table Layers of one encoder and its features, row by row: (n, d), most in half precision.
Described = tuple[pd.DataFrame, NDArray[np.float16] | NDArray[np.float32]]

UNKNOWN = "unknown"
CONTEXT = ("age", "sex", "site")  # never how the diagnosis was confirmed: that gives it away
MIDDLE_AGE, AGE_SCALE = 50.0, 20.0  # years


@dataclass(frozen=True)
class Dataset:
    """Images in scope, sorted by image_id.

    image_id: (n,).
    classes: diagnoses in scope, sorted: the order of every probability vector.
    given: (n,) position of the given diagnosis in `classes`.
    vectors: (n, d) unit norm, of the main encoder.
    layers: (n, d) unit norm, of each layer of it.
    further: (n, d) unit norm, of each layer of further encoders.
    members: (n, classes) out-of-fold probabilities of each fine-tuned member; the benchmark knows of some.
    context: (n, numbers) what is known of the patient, from `patient_context`.
    evidence: (n,) how the given diagnosis was confirmed, `unknown` where nobody says: never a feature.
    split: (n,).
    group: (n,) number of the group: what one fold holds together.
    lesion: (n,) number of the lesion: images of one lesion, copies among them, share one prediction.
    copy_group: (n,) number that an image shares with its copies.
    removed: (n,) whose copy is kept in its place.
    reference: (n,) in train and not removed: the images that classifiers learn from.
    encoder: library, model and weights of the main encoder.
    """

    image_id: NDArray[np.str_]
    classes: list[str]
    given: NDArray[np.intp]
    vectors: NDArray[np.float32]
    layers: tuple[NDArray[np.float32], ...]
    further: tuple[NDArray[np.float32], ...]
    members: tuple[NDArray[np.float64], ...]
    context: NDArray[np.float32]
    evidence: NDArray[np.str_]
    split: NDArray[np.str_]
    group: NDArray[np.intp]
    lesion: NDArray[np.intp]
    copy_group: NDArray[np.intp]
    removed: NDArray[np.bool_]
    reference: NDArray[np.bool_]
    encoder: str = ""

    @property
    def views(self) -> tuple[NDArray[np.float32], ...]:
        """What classifiers see: the main encoder's vectors first, (n, d) each."""
        return (self.vectors, *self.layers, *self.further)

    @property
    def lesion_weights(self) -> NDArray[np.float64]:
        """Weights by which each lesion counts once: 1 / its reference images, (n,); 0 where it has none."""
        references = np.bincount(self.lesion, self.reference)[self.lesion]
        return np.divide(1.0, references, out=np.zeros(len(references)), where=references > 0)

    def names(self, positions: NDArray[np.intp]) -> NDArray[np.object_]:
        """Name diagnoses by their position."""
        return np.array(self.classes, dtype=object)[positions]


def align(
    images: pd.DataFrame,
    embeddings: pd.DataFrame,
    *,
    vectors: NDArray[np.float32],
    layers: Described,
    further: Sequence[Described],
    groups: pd.DataFrame,
    duplicates: pd.DataFrame,
    classes: list[str],
    context: Sequence[str],
) -> Dataset:
    """Join the tables by image_id and keep the images in scope.

    Args:
        images: the table Images.
        embeddings: the table Embeddings.
        vectors: its vectors, row by row.
        layers: the encoder's table Layers and its features, row by row; empty where none is named.
        further: of each further encoder likewise.
        groups: the table Groups.
        duplicates: the table Duplicates.
        classes: diagnoses in scope.
        context: what of the patient classifiers may know, columns of Images.

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
    return Dataset(
        image_id=joined["image_id"].to_numpy(dtype=str),
        classes=classes,
        given=pd.Index(classes).get_indexer(pd.Index(joined["diagnosis"])),
        vectors=np.ascontiguousarray(vectors[position], dtype=np.float32),
        layers=further_views(layers, joined["image_id"]),
        further=tuple(view for one in further for view in further_views(one, joined["image_id"])),
        members=(),
        context=patient_context(joined, context),
        evidence=joined["label_evidence"].fillna(UNKNOWN).to_numpy(dtype=str),
        split=split,
        group=_numbers(joined["group_id"]),
        lesion=_numbers(components(names, copies + same_lesion)),
        copy_group=_numbers(components(names, copies)),
        removed=removed,
        reference=(split == "train") & ~removed,
        encoder=of_network(embeddings["encoder"].iloc[0]),
    )


def further_views(described: Described, image_ids: pd.Series[str]) -> tuple[NDArray[np.float32], ...]:
    """Line up what an encoder's layers show: of each (n, d) float32 of unit norm.

    Channels have scales of their own, so every number is standardised over the images first.

    Raises:
        UserError: they lack an image.

    """
    return tuple(_standardised(part) for part in split_layers(*described, image_ids))


def _standardised(features: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.float32]:
    descriptions = features.astype(np.float32)  # layers are kept in half precision, in which sums would overflow
    descriptions = (descriptions - descriptions.mean(axis=0)) / np.maximum(descriptions.std(axis=0), 1e-6)
    norms = np.maximum(np.linalg.norm(descriptions, axis=1, keepdims=True), 1e-6)
    return np.ascontiguousarray(descriptions / norms, dtype=np.float32)


def patient_context(images: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float32]:
    """Encode what is known of the patient: no statistic of the data enters, so more images change no other's numbers.

    Age becomes itself, its square and whether it is missing; of sex and site each value becomes a column of 0 and 1.

    Args:
        images: the table Images.
        columns: some of `CONTEXT`.

    Returns:
        (n, numbers); no numbers without columns.

    """
    parts = [_age(images[name]) if name == "age" else _kinds(images[name]) for name in columns]
    return np.hstack([np.zeros((len(images), 0), np.float32), *parts])


def _age(years: pd.Series[Any]) -> NDArray[np.float32]:
    values = pd.to_numeric(years).to_numpy(dtype=np.float32)
    missing = np.isnan(values)
    scaled = np.where(missing, 0.0, (values - MIDDLE_AGE) / AGE_SCALE)
    return np.stack([scaled, np.square(scaled), missing], axis=1).astype(np.float32)


def _kinds(values: pd.Series[Any]) -> NDArray[np.float32]:
    return pd.get_dummies(values, dtype=np.float32, dummy_na=True).to_numpy()


def copy_edges(duplicates: pd.DataFrame, names: list[str]) -> list[tuple[str, str]]:
    """List the pairs that show one image, where both are in scope."""
    edges = duplicates.loc[duplicates["relation"] == "copy", ["a", "b"]]
    edges = edges[edges["a"].isin(names) & edges["b"].isin(names)]
    return list(zip(edges["a"], edges["b"], strict=True))


def by_lesion(values: NDArray[np.float64], lesion: NDArray[np.intp]) -> NDArray[np.float64]:
    """Replace each row by the mean over its lesion: (n, k) to (n, k)."""
    sums = np.stack([np.bincount(lesion, column) for column in values.T], axis=1)
    means: NDArray[np.float64] = (sums / np.bincount(lesion)[:, None])[lesion]
    return means


def of_given(probabilities: NDArray[np.float64], given: NDArray[np.intp]) -> NDArray[np.float64]:
    """Pick each row's value for its given diagnosis: (..., n, classes) to (..., n)."""
    picked: NDArray[np.float64] = probabilities[..., np.arange(len(given)), given]
    return picked


def _numbers(names: pd.Series[Any] | list[str]) -> NDArray[np.intp]:
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]
