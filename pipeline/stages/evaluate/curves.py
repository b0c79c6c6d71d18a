"""Points of the curves that are plotted: ROC, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.stages.evaluate.metrics import bin_of

Array = np.ndarray[Any, Any]


def confusion(probabilities: Array, actual: Array, diagnoses: Sequence[str]) -> pd.DataFrame:
    """One row an image: its actual and predicted diagnosis."""
    names = np.asarray(diagnoses)
    return pd.DataFrame({"actual": names[actual], "predicted": names[probabilities.argmax(1)]})


def roc(probabilities: Array, actual: Array, diagnoses: Sequence[str], *, points: int) -> pd.DataFrame:
    """One-versus-rest ROC curves of at most `points` points; classes without images (or without others) have none."""
    curves = [
        pd.DataFrame({"false_positive_rate": [], "true_positive_rate": [], "diagnosis": pd.Series([], dtype=str)})
    ]
    for k, diagnosis in enumerate(diagnoses):
        positive = actual == k
        if positive.all() or not positive.any():
            continue
        order = np.argsort(-probabilities[:, k], kind="stable")
        score, hits = probabilities[order, k], np.cumsum(positive[order])
        ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # the last of each run of equal scores
        true, false = np.append(0, hits[ends]), np.append(0, ends + 1 - hits[ends])
        kept = _corners(false, true)
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, points).round().astype(np.int64))]
        curves.append(
            pd.DataFrame(
                {
                    "false_positive_rate": false[kept] / false[-1],
                    "true_positive_rate": true[kept] / true[-1],
                    "diagnosis": diagnosis,
                }
            )
        )
    return pd.concat(curves, ignore_index=True)


def calibration(probabilities: Array, actual: Array, *, bins: int) -> pd.DataFrame:
    """Mean confidence and accuracy of the images in each bin of the top probability; empty bins are left out."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == actual
    frame = pd.DataFrame({"confidence": confidence, "accuracy": hit.astype(np.float64)})
    found = frame.groupby(bin_of(confidence, bins)).agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("accuracy", "size")
    )
    return found.reset_index(drop=True)


def _corners(x: Array, y: Array) -> Array:
    """Places where a staircase turns, and both ends."""
    turns = np.diff(x)[:-1] * np.diff(y)[1:] != np.diff(y)[:-1] * np.diff(x)[1:]
    return np.concatenate([[0], np.flatnonzero(turns) + 1, [len(x) - 1]])
