"""What a probe reads: the vector and the layers that `embed` wrote of an encoder, each scaled to unit length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.embed.tables import read_embeddings, read_layers, split_layers


@dataclass(frozen=True)
class EncoderFeatures:
    """What an encoder says of images.

    matrix: (images, features) float32.
    name: the encoder's id, and the layers beside its vector.
    """

    matrix: NDArray[np.float32]
    name: str


def read_features(store: Store, encoder: str, batches: Sequence[str], image_ids: pd.Series[str]) -> EncoderFeatures:
    """Read the features of images, in the order of `image_ids`.

    Raises:
        UserError: `embed` has not run for the encoder or for an image, or batches hold vectors that cannot be compared.

    """
    table, vectors = read_embeddings(store, encoder, batches)
    of_layers, stacked = read_layers(store, encoder, batches)
    rows = pd.Index(table["image_id"]).get_indexer(pd.Index(image_ids))
    if (rows < 0).any():
        raise UserError(f"data/embed/{encoder} lacks {(rows < 0).sum()} images of the arm: run `dvc repro`")
    layers = [layer.astype(np.float32) for layer in split_layers(of_layers, stacked, image_ids)]
    names = [str(table["encoder"].iloc[0]), *(of_layers["layers"].iloc[0] if len(of_layers) else ())]
    return EncoderFeatures(np.hstack([_unit(block) for block in (vectors[rows], *layers)]), " ".join(names))


def _unit(block: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return scaled
