"""Cross-validated predictions: what each image shows, by classifiers and neighbours that saw no label of its group.

Train is predicted out of fold within train, folds by group; validation and test by the same classifiers, none of which
saw them. So no label outside train has any influence on a train image, and no label any on the prediction of its own
group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.core.folds import EVERY_FOLD, assign_folds, judged_by
from pipeline.stages.label_noise.dataset import Dataset, by_lesion
from pipeline.stages.label_noise.knn import knn_embedding, knn_pred_probs
from pipeline.stages.label_noise.logistic_regression import fit_classifier, narrow
from pipeline.stages.label_noise.noise_model import (
    NoiseModel,
    NoiseSettings,
    fit_noise_model,
    log_linear_pool,
    uniform_noise_matrix,
)
from pipeline.stages.label_noise.params import LabelNoiseParams

Split = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # (n,) to learn from, (n,) to predict

WEAK_REGULARIZATION_C = 10.0  # a weak classifier is weak by what it sees: of that it makes the most


@dataclass(frozen=True)
class Predictions:
    """What the images show, pooled over the images of a lesion, and how their labels come about.

    plain: (n, classes) by classifiers that take the labels of others at their word, the mean over views and fine-tuned
        members: the `pred_probs` that cleanlab expects.
    pooled: (n, classes) P(true | image), by classifiers that allow for wrong labels, by the nearest images and by the
        members: their log-linear pool.
    noise_matrix: (classes, classes) P(given | true) of class-conditional noise, estimated on train.
    mixture_weight: of instance-dependent noise, estimated on train.
    weak: (n, classes) by the weak classifier that labels of that noise follow; 0 where there is none.
    weak_components: principal components that it sees; 0: there is none.
    knn_embedding: (n, d) unit vectors whose cosine says what is near what; no label has a part in them.
    has_prediction: (n,) false where train has too few groups of the given diagnosis.
    """

    plain: NDArray[np.float64]
    pooled: NDArray[np.float64]
    noise_matrix: NDArray[np.float64]
    mixture_weight: float
    weak: NDArray[np.float64]
    weak_components: int
    knn_embedding: NDArray[np.float32]
    has_prediction: NDArray[np.bool_]


def cross_val_predict(dataset: Dataset, params: LabelNoiseParams, *, noise: NoiseSettings | None = None) -> Predictions:
    """Fit all classifiers, collect their out-of-fold probabilities, and pool them under a noise model.

    Args:
        dataset: images in scope.
        params: of the stage.
        noise: how labels are thought to come about; the default with the params' rate.

    Raises:
        UserError: train holds fewer than two groups.

    """
    noise = noise or NoiseSettings(params.initial_noise_rate)
    folds = repeated_folds(dataset, params)
    splits, halves = splits_of(dataset, folds), splits_of(dataset, halved(folds))
    # One thread: products this narrow gain nothing from more, and the result does not depend on the number of cores.
    with threadpool_limits(limits=1):
        views = [narrow(view, dataset.reference, params.components) for view in dataset.views]
        of_views = [
            predict_out_of_fold(
                dataset,
                view,
                splits,
                components=params.components,
                regularization_c=params.regularization_c,
                noise=noise,
            )
            for view in views
        ]
        weak = np.concatenate([predict_weakly(dataset, view, halves, noise=noise) for view in views])
        embedding = knn_embedding(views, dataset.reference)
        neighbours = [knn_pred_probs(dataset, embedding, params.neighbours)] if params.neighbours else []
    plain, corrected = ([of_view[i] for of_view in of_views] for i in range(2))
    pred_probs = np.stack([by_lesion(one, dataset.lesion) for one in (*corrected, *neighbours, *dataset.members)])
    has_prediction = _has_enough_groups(dataset, params.folds)
    known = dataset.reference & has_prediction
    pooled, model = _pool(dataset, pred_probs, weak, known=known, noise=noise)
    chosen = model.weak_classifier
    return Predictions(
        plain=by_lesion(np.mean([*plain, *dataset.members], axis=0), dataset.lesion),
        pooled=pooled,
        noise_matrix=model.noise_matrix,
        mixture_weight=model.mixture_weight,
        weak=np.zeros_like(pred_probs[0]) if chosen is None else weak[chosen],
        weak_components=0 if chosen is None else noise.weak_components[chosen % len(noise.weak_components)],
        knn_embedding=embedding,
        has_prediction=has_prediction,
    )


def repeated_folds(dataset: Dataset, params: LabelNoiseParams) -> NDArray[np.intp]:
    """Assign each image, in each repeat, the fold that holds it out.

    Returns:
        (repeats, n) fold numbers, equal within a group, removed copies included; `EVERY_FOLD` where no classifier sees
        the group.

    Raises:
        UserError: train holds fewer than two groups.

    """
    return np.stack(
        [
            assign_folds(dataset.given, dataset.group, dataset.reference, count=params.folds, seed=params.seed + repeat)
            for repeat in range(params.repeats)
        ]
    )


def halved(folds: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join the folds of the first repeat to two, (1, n): a weak classifier learns from a half, predicts the other."""
    return np.where(folds[:1] == EVERY_FOLD, EVERY_FOLD, folds[:1] % 2)


def splits_of(dataset: Dataset, folds: NDArray[np.intp]) -> list[Split]:
    """List, for each fold of each repeat, the images that a classifier learns from, and those that it predicts."""
    return [
        (dataset.reference & (held_by != fold), judged_by(fold, held_by))
        for held_by in folds
        for fold in range(held_by.max() + 1)
    ]


def predict_out_of_fold(
    dataset: Dataset,
    vectors: NDArray[np.float32],
    splits: Sequence[Split],
    *,
    components: int,
    regularization_c: Sequence[float],
    noise: NoiseSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit one classifier a split on one view; average what each image's classifiers predict.

    Args:
        dataset: images in scope.
        vectors: (n, d) one view of them.
        splits: from `splits_of`.
        components: principal components that a classifier sees.
        regularization_c: inverse L2 strengths to choose from.
        noise: how the classifiers' noise matrix is estimated.

    Returns:
        probabilities by classifiers that take labels at their word, and by classifiers that allow for wrong ones:
        (n, classes) each, rows sum to 1.

    """
    shape, count = (len(dataset.given), len(dataset.classes)), dataset.lesion_weights
    plain, corrected, fits = np.zeros(shape), np.zeros(shape), np.zeros(shape[0])
    for learn, predict in splits:
        classifier = fit_classifier(
            vectors[learn],
            dataset.context[learn],
            dataset.given[learn],
            group=dataset.group[learn],
            count=count[learn],
            classes=shape[1],
            components=components,
            regularization_c=regularization_c,
            noise=noise,
        )
        probabilities = classifier.predict_proba(vectors[predict], dataset.context[predict])
        plain[predict] += probabilities[0]
        corrected[predict] += probabilities[1]
        fits[predict] += 1
    return plain / fits[:, None], corrected / fits[:, None]


def predict_weakly(
    dataset: Dataset, vectors: NDArray[np.float32], halves: Sequence[Split], *, noise: NoiseSettings
) -> NDArray[np.float64]:
    """Predict by weak classifiers, which see few components and no context.

    Args:
        dataset: images in scope.
        vectors: (n, d) one view of them.
        halves: from `splits_of` and `halved`.
        noise: how many components each weak classifier sees.

    Returns:
        (weak classifiers, n, classes), pooled over the images of a lesion.

    """
    blind = replace(dataset, context=np.zeros_like(dataset.context))
    trusting = replace(noise, correction_rounds=0)
    few = narrow(vectors, dataset.reference, max(noise.weak_components, default=1))
    weak = []
    for components in noise.weak_components:
        plain, _ = predict_out_of_fold(
            blind, few, halves, components=components, regularization_c=[WEAK_REGULARIZATION_C], noise=trusting
        )
        weak.append(by_lesion(plain, dataset.lesion))
    return np.array(weak).reshape(-1, len(dataset.given), len(dataset.classes))


def _has_enough_groups(dataset: Dataset, folds: int) -> NDArray[np.bool_]:
    """Say whose given diagnosis has a group of train for each fold at least, (n,)."""
    pairs = np.unique(np.column_stack([dataset.given, dataset.group])[dataset.reference], axis=0)
    groups = np.bincount(pairs[:, 0], minlength=len(dataset.classes))
    enough: NDArray[np.bool_] = groups[dataset.given] >= folds
    return enough


def _pool(
    dataset: Dataset,
    pred_probs: NDArray[np.float64],
    weak: NDArray[np.float64],
    *,
    known: NDArray[np.bool_],
    noise: NoiseSettings,
) -> tuple[NDArray[np.float64], NoiseModel]:
    """Pool predictions (classifiers, n, classes) under a noise model fitted to the known (n,); else take their mean."""
    if not known.any():
        equal = np.full(len(pred_probs), 1 / len(pred_probs))
        unknown = NoiseModel(equal, uniform_noise_matrix(len(dataset.classes), noise.initial_noise_rate))
        return pred_probs.mean(axis=0), unknown
    model = fit_noise_model(
        pred_probs[:, known],
        dataset.given[known],
        count=dataset.lesion_weights[known],
        weak_probs=weak[:, known],
        settings=noise,
    )
    if model.weak_classifier is not None:
        pred_probs = np.concatenate([pred_probs, weak[model.weak_classifier][None]])
    return log_linear_pool(pred_probs, model.pool_weights), model
