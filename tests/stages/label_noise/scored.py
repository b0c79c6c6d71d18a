"""Planted labels, scored as the stage does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from pipeline.stages.label_noise.cross_validation import Predictions, cross_val_predict
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.scores import Posterior, conflicting_copies, score_labels
from tests.stages.label_noise.planted import COMPONENTS, NOISE, World, params

PARAMS = params()


def predicted(planted: World, params: LabelNoiseParams = PARAMS) -> Predictions:
    """Predict under the noise model of tests."""
    return cross_val_predict(planted.dataset, params, noise=NOISE, components=COMPONENTS)


def scored(planted: World, *, method: str = "noise_matrix", params: LabelNoiseParams = PARAMS) -> Posterior:
    """Predict, and let a method score the labels."""
    return scored_by(planted, predicted(planted, params), method=method)


def scored_by(planted: World, predictions: Predictions, *, method: str = "noise_matrix") -> Posterior:
    """Let a method score the labels."""
    conflicting = conflicting_copies(planted.dataset)
    return score_labels(planted.dataset, predictions, conflicting, method=method, conflict_error_probability=0.95)


def precision(planted: World, errors: NDArray[np.float64]) -> float:
    """Return the average precision of error probabilities."""
    return float(average_precision_score(planted.wrong, errors))
