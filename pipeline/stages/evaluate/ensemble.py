"""Predictions of every model, put in one order, and their mean an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError

Array = np.ndarray[Any, Any]


class Model(NamedTuple):
    """One training run."""

    member: str
    arm: str
    seed: int

    @property
    def instance(self) -> str:
        """Name of the run's instance of the stage `train`."""
        return f"{self.member}-{self.arm}-{self.seed}"


def align(model: Model, predicted: pd.DataFrame, probabilities: Array, images: pd.DataFrame, classes: int) -> Array:
    """Bring a model's probabilities into the order of `images`.

    Raises:
        UserError: the model was trained for other images or classes.

    """
    place = pd.Index(predicted["image_id"]).get_indexer(pd.Index(images["image_id"]))
    if (place < 0).any() or len(predicted) != len(images) or probabilities.shape[1] != classes:
        raise UserError(f"the predictions of {model.instance} are of other images or classes: run `dvc repro`")
    aligned: Array = probabilities[place].astype(np.float64)
    return aligned


def ensembles(models: Mapping[Model, Array], arms: Sequence[str]) -> dict[str, Array]:
    """Average the probabilities over an arm's members and seeds."""
    return {arm: np.mean([p for model, p in models.items() if model.arm == arm], axis=0) for arm in arms}
