"""What cleanlab's users hand it: cross-validated probabilities of a classifier that takes every label at its word.

Logistic regression on the same principal components and folds as ours, its strength chosen by cross-validation over
all labels (which favours it a little), the mean over views: what cleanlab's tutorials do with a pretrained network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from pipeline.core.folds import assign_folds
from pipeline.stages.label_noise.cross_validation import COMPONENTS, splits_of
from pipeline.stages.label_noise.dataset import Dataset, by_lesion
from pipeline.stages.label_noise.logistic_regression import (
    FeatureMap,
    fit_logistic_regression,
    narrow,
    predict_proba,
)
from pipeline.stages.label_noise.params import LabelNoiseParams

STRENGTHS = (0.003, 0.01, 0.03, 0.1)  # C
CHOOSING_FOLDS = 3
SMALLEST = 1e-12  # probability, so that one label cannot decide


def plain_pred_probs(labelled: Dataset, params: LabelNoiseParams) -> NDArray[np.float64]:
    """Predict out of fold, the mean over views, pooled over the images of a lesion: (n, classes)."""
    folds = assign_folds(labelled.given, labelled.group, labelled.reference, count=params.folds, seed=params.seed)
    total = np.zeros((len(labelled.given), len(labelled.classes)))
    with threadpool_limits(limits=1):
        for view in labelled.views:
            narrowed = narrow(view, labelled.reference, COMPONENTS)
            c = _strength(labelled, narrowed)
            for learn, held in splits_of(labelled, folds):
                total[held] += _fit_and_predict(labelled, narrowed, learn, held, c)
    return by_lesion(total / len(labelled.views), labelled.lesion)


def seen_pred_probs(labelled: Dataset) -> NDArray[np.float64]:
    """Predict what was learnt from, every label seen, the mean over views: (n, classes)."""
    rows = labelled.reference
    with threadpool_limits(limits=1):
        views = [narrow(view, rows, COMPONENTS) for view in labelled.views]
        shown = [_fit_and_predict(labelled, view, rows, rows, _strength(labelled, view)) for view in views]
    return np.asarray(np.mean(shown, axis=0))


def choose_strength(
    features: NDArray[np.float32], targets: NDArray[np.float64], group: NDArray[np.intp], candidates: Sequence[float]
) -> float:
    """Choose the inverse L2 strength with the least negative log-likelihood on groups that were held out.

    Args:
        features: (n, f), from a map that knows no label.
        targets: (n, classes), one-hot.
        group: (n,) numbers: what is held out together.
        candidates: strengths.

    """
    folds = min(CHOOSING_FOLDS, len(np.unique(group)))
    if folds < 2:  # noqa: PLR2004 - one to learn from, one to hold out
        return candidates[0]
    loss = np.zeros(len(candidates))
    for learn, held in GroupKFold(folds).split(features, groups=group):
        known = held[targets[held] @ targets[learn].sum(axis=0) > 0]
        for i, c in enumerate(candidates):
            weights = fit_logistic_regression(features[learn], targets[learn], c)
            likelihood = (predict_proba(features[known], weights) * targets[known]).sum(axis=1)
            loss[i] -= np.log(np.maximum(likelihood, SMALLEST)).sum()
    return candidates[int(loss.argmin())]


def _strength(labelled: Dataset, view: NDArray[np.float32]) -> float:
    rows = labelled.reference
    features = FeatureMap.fit(view[rows], COMPONENTS).apply(view[rows], labelled.context[rows])
    targets = np.eye(len(labelled.classes))[labelled.given[rows]]
    return choose_strength(features, targets, labelled.group[rows], STRENGTHS)


def _fit_and_predict(
    labelled: Dataset, view: NDArray[np.float32], learn: NDArray[np.bool_], held: NDArray[np.bool_], c: float
) -> NDArray[np.float64]:
    to = FeatureMap.fit(view[learn], COMPONENTS)
    targets = np.eye(len(labelled.classes))[labelled.given[learn]]
    weights = fit_logistic_regression(to.apply(view[learn], labelled.context[learn]), targets, c)
    return predict_proba(to.apply(view[held], labelled.context[held]), weights)
