"""What `embed` yields, by encoder and batch, and how other stages read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.table import Table, integers, text, texts, vector

Features = NDArray[np.float16] | NDArray[np.float32]


class Embeddings(Table):
    """One vector an image."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("encoder", "library, model, weights, precision and side: vectors of two encoders are never compared"),
        vector("vector", "unit norm"),
    )


class Layers(Table):
    """What the encoder's layers make of every image on the way to its vector; no rows where params name none."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        texts("layers", "the encoder and the number of each"),
        integers("widths", "how many numbers of `features` are each layer's"),
        vector(
            "features",
            "of each layer in turn. A transformer's block: its class token, then the mean patch token. Another "
            "network's stage: the pooled features of the last one, then mean and spread of the stage's channels",
            of=pa.float16(),
            or_of=pa.float32(),
        ),
    )


def folder(encoder: str, batch: str) -> str:
    """Name the folder below data/embed/ that an encoder's tables of a batch lie in, as `Store` takes instances."""
    return f"{encoder}/{batch}"


def of_network(encoder: str) -> str:
    """Name an encoder's library, model and weights: its id without precision and side."""
    return encoder.rsplit("/", 2)[0]


def lay_out(
    images: pd.DataFrame, features: Features, *, layers: list[str], widths: Sequence[int]
) -> tuple[pd.DataFrame, Features]:
    """Lay out what an encoder's layers make of images: their names stand on every row; without one there is no row.

    Args:
        images: with `image_id`.
        features: (rows, numbers), of each layer in turn.
        layers: their names.
        widths: how many numbers are each one's.

    Returns:
        the scalar columns and the matrix of Layers.

    """
    rows = images[["image_id"]]
    if not layers:
        rows, features = rows.head(0), np.zeros((0, 1), features.dtype)
    lists = {"layers": layers, "widths": list(widths)}
    columns = {name: pd.Series([value] * len(rows), rows.index, dtype=object) for name, value in lists.items()}
    return rows.assign(**columns), features


def read_embeddings(store: Store, encoder: str, batches: Sequence[str]) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Read one encoder's Embeddings of batches: the table, and its unit vectors (rows, d), row by row.

    Raises:
        UserError: `embed` has not run, or batches hold vectors that cannot be compared.

    """
    instances = [folder(encoder, batch) for batch in batches]
    table = store.read(Embeddings, instances)
    _refuse_several(encoder, table["encoder"])
    return table, store.vectors(Embeddings, "vector", instances)


def read_layers(store: Store, encoder: str, batches: Sequence[str]) -> tuple[pd.DataFrame, Features]:
    """Read one encoder's Layers of batches: the table, and its features (rows, numbers), row by row.

    Raises:
        UserError: `embed` has not run, or batches hold features that cannot be compared.

    """
    instances = [folder(encoder, batch) for batch in batches]
    table = store.read(Layers, instances)
    _refuse_several(encoder, map(tuple, table["layers"]))
    return table, store.vectors(Layers, "features", instances)


def split_layers(table: pd.DataFrame, features: Features, image_ids: pd.Series[str]) -> list[Features]:
    """Line up an encoder's layers with images: (images, numbers) of each layer; none where params name none.

    Args:
        table: the table Layers.
        features: its vector, row by row.
        image_ids: whose order the rows have.

    Raises:
        UserError: they lack an image.

    """
    if table.empty:
        return []
    position = pd.Index(table["image_id"]).get_indexer(pd.Index(image_ids))
    if (position < 0).any():
        raise UserError(f"the layers {list(table['layers'].iloc[0])} show some images only: run `dvc repro embed`")
    return np.split(features[position], np.cumsum(table["widths"].iloc[0])[:-1], axis=1)


def _refuse_several(encoder: str, ids: Iterable[Any]) -> None:
    """Refuse vectors of several networks under one name: numbers of two are never compared."""
    several = sorted(set(ids))
    if len(several) > 1:
        raise UserError(
            f"data/embed/{encoder} holds vectors of {several}, which cannot be compared: run `dvc repro embed`"
        )
