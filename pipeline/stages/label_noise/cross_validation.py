"""Cross-validated predictions: what each image shows, by classifiers and neighbours that saw no label of its group.

    q̂(z | x)   cross-validated within what a fold learns from, all views pooled under a noise model
    r(z)       ∝ q̂(z | x) T[z, y]                      how far an image counts as diagnosis z, its label y at hand
    p(z | x)   logistic regression on the targets r, which predicts what the fold holds out

So a label counts for what is left of it once the other images have had their say, and a wrong one bends the classifiers
less (self-training by an EM step, as Grandvalet and Bengio 2004 have it, each image's posterior by models that did not
see it, as in Northcutt et al. 2021). Train is predicted out of fold within train, folds by group; validation and test
by the same classifiers, none of which saw them: no label outside train has any influence on a train image, and no label
any on the prediction of its own group. Beside them stands s(z | x), by classifiers that have learnt every label of
train, for `scores` to tell which of these were hard to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.core.folds import EVERY_FOLD, assign_folds, judged_by
from pipeline.core.progress import advance, track, within
from pipeline.stages.label_noise.dataset import Dataset, by_lesion
from pipeline.stages.label_noise.knn import knn_embedding, knn_pred_probs
from pipeline.stages.label_noise.logistic_regression import (
    FeatureMap,
    fit_logistic_regression,
    narrow,
    predict_proba,
)
from pipeline.stages.label_noise.noise_model import (
    NOISE_RATE,
    NoiseModel,
    NoiseSettings,
    fit_noise_models,
    log_linear_pool,
    uniform_noise_matrix,
)
from pipeline.stages.label_noise.params import LabelNoiseParams

Split = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # (n,) to learn from, (n,) to predict

# Set by `bench.label_noise noise` on seeds, lesions and sizes that it does not report.
COMPONENTS = 256  # principal components kept of each view's vectors
REGULARIZATION_C = 0.1  # inverse L2 strength, for features whose mean variance is 1
SEEN_REGULARIZATION_C = 0.01  # of classifiers that have seen every label, or they would learn the wrong ones by heart
WEAK_REGULARIZATION_C = 10.0  # a weak classifier is weak by what it sees: of that it makes the most
INNER_FOLDS = 3  # within what a fold learns from, to doubt its labels
KNN_SHARE = 0.3  # of the pool, beside 1 for all views together
MIN_GROUPS = 5  # of a diagnosis in train; one with fewer is predicted, but the labels of it are not judged


@dataclass(frozen=True)
class Hypothesis:
    """How labels come about, and what the images show then.

    model: fitted to train.
    pooled: (n, classes) P(true | image), by the classifiers, the nearest images and the members: their log-linear pool.
    weak: (n, classes) by the weak classifiers that instance-dependent noise follows, by their weights; 0 without any.
    """

    model: NoiseModel
    pooled: NDArray[np.float64]
    weak: NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What the images show, pooled over the images of a lesion, and how their labels come about.

    pred_probs: (n, classes) by the classifiers, the mean over views and fine-tuned members: what cleanlab expects.
    hypotheses: how labels come about; their evidence sums to 1.
    seen: (n, classes) s(z | x), by classifiers that have learnt the given labels of train, the image's own too; 1 for
        every diagnosis where the lesion is not in train.
    knn_embedding: (n, d) unit vectors whose cosine says what is near what; no label has a part in them.
    has_prediction: (n,) false where train has too few groups of the given diagnosis.
    """

    pred_probs: NDArray[np.float64]
    hypotheses: tuple[Hypothesis, ...]
    seen: NDArray[np.float64]
    knn_embedding: NDArray[np.float32]
    has_prediction: NDArray[np.bool_]

    @property
    def pooled(self) -> NDArray[np.float64]:
        """P(true | image), the mean over the hypotheses, (n, classes)."""
        return np.asarray(sum(one.model.evidence * one.pooled for one in self.hypotheses))

    @property
    def noise_matrix(self) -> NDArray[np.float64]:
        """P(given | true) of class-conditional noise, the mean over the hypotheses, (classes, classes)."""
        return np.asarray(sum(one.model.evidence * one.model.noise_matrix for one in self.hypotheses))

    @property
    def mixture_weight(self) -> float:
        """Share of instance-dependent noise, the mean over the hypotheses."""
        return float(sum(one.model.evidence * one.model.mixture_weight for one in self.hypotheses))


def cross_val_predict(
    dataset: Dataset, params: LabelNoiseParams, *, noise: NoiseSettings | None = None, components: int = COMPONENTS
) -> Predictions:
    """Fit all classifiers, collect their out-of-fold probabilities, and pool them under a noise model.

    Args:
        dataset: images in scope.
        params: of the stage.
        noise: how labels are thought to come about.
        components: principal components that a classifier sees of each view.

    Raises:
        UserError: train holds fewer than two groups.

    """
    noise = noise or NoiseSettings()
    folds = assign_folds(dataset.given, dataset.group, dataset.reference, count=params.folds, seed=params.seed)
    # One thread: products this narrow gain nothing from more, and the result does not depend on the number of cores.
    with threadpool_limits(limits=1):
        views = [narrow(view, dataset.reference, components) for view in dataset.views]
        of_views = predict_out_of_fold(
            dataset, views, splits_of(dataset, folds), noise=noise, components=components, seed=params.seed
        )
        seen = predict_seen(dataset, views, components=components)
        weak = predict_weakly(dataset, views, splits_of(dataset, halved(folds)), components=noise.weak_components)
        embedding = knn_embedding(views, dataset.reference)
        neighbours = [knn_pred_probs(dataset, embedding, params.neighbours)] if params.neighbours else []
    classifiers = [*of_views, *dataset.members]
    pred_probs = np.stack([by_lesion(one, dataset.lesion) for one in (*classifiers, *neighbours)])
    shares = np.array([1 / len(of_views)] * len(classifiers) + [KNN_SHARE] * len(neighbours))
    has_prediction = _has_enough_groups(dataset)
    known = dataset.reference & has_prediction
    models = _fit_pools(dataset, pred_probs, weak, shares=shares, known=known, noise=noise)
    return Predictions(
        pred_probs=by_lesion(np.mean(classifiers, axis=0), dataset.lesion),
        hypotheses=tuple(
            Hypothesis(
                model, log_linear_pool(pred_probs, model.pool_weights), np.tensordot(model.weak_weights, weak, 1)
            )
            for model in models
        ),
        seen=seen,
        knn_embedding=embedding,
        has_prediction=has_prediction,
    )


def halved(folds: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join the folds to two: a weak classifier learns from a half, predicts the other."""
    return np.where(folds == EVERY_FOLD, EVERY_FOLD, folds % 2)


def splits_of(dataset: Dataset, folds: NDArray[np.intp]) -> list[Split]:
    """List for each fold (n,) the images that a classifier learns from, and those that it predicts."""
    return [(dataset.reference & (folds != fold), judged_by(fold, folds)) for fold in range(folds.max() + 1)]


def predict_out_of_fold(
    dataset: Dataset,
    views: Sequence[NDArray[np.float32]],
    splits: Sequence[Split],
    *,
    noise: NoiseSettings,
    components: int,
    seed: int,
) -> NDArray[np.float64]:
    """Fit one classifier a split and view, to labels as far as the other images bear them out.

    Args:
        dataset: images in scope.
        views: (n, d) of them each.
        splits: from `splits_of`.
        noise: how labels are thought to come about.
        components: principal components that a classifier sees.
        seed: of the inner folds.

    Returns:
        (views, n, classes), the mean over splits; rows sum to 1.

    """
    total = np.zeros((len(views), len(dataset.given), len(dataset.classes)))
    fits = np.zeros(len(dataset.given))
    for learn, held in track(splits, "cross-validation", unit="folds"):
        maps = [FeatureMap.fit(view[learn], components) for view in views]
        features = [to.apply(view[learn], dataset.context[learn]) for to, view in zip(maps, views, strict=True)]
        targets = doubt_labels(dataset, features, learn, noise=noise, seed=seed)
        for i, (to, view) in enumerate(zip(maps, views, strict=True)):
            weights = fit_logistic_regression(features[i], targets, REGULARIZATION_C)
            total[i, held] += predict_proba(to.apply(view[held], dataset.context[held]), weights)
            advance(1 / (len(views) * (INNER_FOLDS + 1)))
        fits[held] += 1
    return total / fits[:, None]


def doubt_labels(
    dataset: Dataset,
    features: Sequence[NDArray[np.float32]],
    learn: NDArray[np.bool_],
    *,
    noise: NoiseSettings,
    seed: int,
) -> NDArray[np.float64]:
    """Say how far each image counts as each diagnosis, by cross-validation within the images learnt from.

    Args:
        dataset: images in scope.
        features: (m, f) of the images learnt from, of each view.
        learn: (n,) which images those are, m of them.
        noise: how labels are thought to come about.
        seed: of the folds.

    Returns:
        (m, classes), rows sum to 1; the given labels themselves where there is one group, or one label.

    """
    given, group = dataset.given[learn], np.unique(dataset.group[learn], return_inverse=True)[1]
    labels = np.eye(len(dataset.classes))[given]
    if group.max() == 0 or (given == given[0]).all():
        return labels
    folds = assign_folds(given, group, np.ones(len(given), bool), count=INNER_FOLDS, seed=seed)
    shown = np.zeros((len(features), *labels.shape))
    for fold in range(folds.max() + 1):
        held = folds == fold
        for i, inputs in enumerate(features):
            weights = fit_logistic_regression(inputs[~held], labels[~held], REGULARIZATION_C)
            shown[i, held] = predict_proba(inputs[held], weights)
            advance(1 / (len(features) * (INNER_FOLDS + 1)))
    count = dataset.lesion_weights[learn]
    models = fit_noise_models(
        shown,
        given,
        shares=np.full(len(shown), 1 / len(shown)),
        count=count,
        weak_probs=shown[:0],
        settings=noise,
    )
    targets = np.zeros_like(labels)
    for model in models:
        joint = log_linear_pool(shown, model.pool_weights) * model.noise_matrix[:, given].T
        targets += model.evidence * joint / joint.sum(axis=1, keepdims=True)
    return targets


def predict_seen(dataset: Dataset, views: Sequence[NDArray[np.float32]], *, components: int) -> NDArray[np.float64]:
    """Predict train by classifiers that have learnt its labels as given, each lesion once.

    Args:
        dataset: images in scope.
        views: (n, d) of them each.
        components: principal components that a classifier sees.

    Returns:
        (n, classes), the mean over views, pooled over the images of a lesion; 1 where the lesion is not in train.

    """
    learnt, shown = dataset.reference, np.zeros((len(dataset.given), len(dataset.classes)))
    targets = np.eye(len(dataset.classes))[dataset.given[learnt]] * dataset.lesion_weights[learnt, None]
    for view in track(views, "classifiers that see every label", unit="views"):
        to = FeatureMap.fit(view[learnt], components)
        weights = fit_logistic_regression(
            to.apply(view[learnt], dataset.context[learnt]), targets, SEEN_REGULARIZATION_C
        )
        shown += predict_proba(to.apply(view, dataset.context), weights) / len(views)
    in_train = np.isin(dataset.lesion, dataset.lesion[learnt])
    return np.where(in_train[:, None], by_lesion(shown, dataset.lesion), 1.0)


def predict_weakly(
    dataset: Dataset, views: Sequence[NDArray[np.float32]], halves: Sequence[Split], *, components: Sequence[int]
) -> NDArray[np.float64]:
    """Predict by weak classifiers, which see few components, no context, and half of the images.

    Args:
        dataset: images in scope.
        views: (n, d) of them each.
        halves: from `splits_of` and `halved`.
        components: how many a weak classifier sees of each view.

    Returns:
        (weak classifiers, n, classes), each the mean over views, pooled over the images of a lesion.

    """
    labels = np.eye(len(dataset.classes))[dataset.given]
    total = np.zeros((len(components), *labels.shape))
    fits = np.zeros(len(labels))
    for learn, held in track(halves, "weak classifiers", unit="halves"):
        for view in within(views, len(views)):
            few = FeatureMap.fit(view[learn], max(components, default=1))
            for i, count in enumerate(components):
                first = few.largest(count)
                weights = fit_logistic_regression(
                    first.apply(view[learn], dataset.context[learn, :0]), labels[learn], WEAK_REGULARIZATION_C
                )
                total[i, held] += predict_proba(first.apply(view[held], dataset.context[held, :0]), weights)
        fits[held] += len(views)
    return np.array([by_lesion(one / fits[:, None], dataset.lesion) for one in total]).reshape(total.shape)


def _has_enough_groups(dataset: Dataset) -> NDArray[np.bool_]:
    """Say whose given diagnosis has `MIN_GROUPS` groups of train at least, (n,)."""
    pairs = np.unique(np.column_stack([dataset.given, dataset.group])[dataset.reference], axis=0)
    groups = np.bincount(pairs[:, 0], minlength=len(dataset.classes))
    enough: NDArray[np.bool_] = groups[dataset.given] >= MIN_GROUPS
    return enough


def _fit_pools(
    dataset: Dataset,
    pred_probs: NDArray[np.float64],
    weak: NDArray[np.float64],
    *,
    shares: NDArray[np.float64],
    known: NDArray[np.bool_],
    noise: NoiseSettings,
) -> list[NoiseModel]:
    """Fit noise models to the known (n,) by predictions (classifiers, n, classes); what is assumed at first without."""
    if not known.any():
        matrix = uniform_noise_matrix(len(dataset.classes), NOISE_RATE)
        return [NoiseModel(shares, matrix, 0.0, np.zeros(len(weak)), shaped=False)]
    return fit_noise_models(
        pred_probs[:, known],
        dataset.given[known],
        shares=shares,
        count=dataset.lesion_weights[known],
        weak_probs=weak[:, known],
        settings=noise,
    )
