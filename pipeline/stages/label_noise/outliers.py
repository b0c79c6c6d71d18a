"""Off-topic images: a two-component mixture along Fisher's discriminant between the set and pictures of other things.

    P(off topic | x) = share · f1(u) / (share · f1(u) + (1 - share) · f0(u)),   u = discriminant(x)

No label has a part in it. The set stands on one side, whatever skin it shows; on the other the mean and spread of
pictures of other things (`off_topic_reference.py`). Ridge regression finds the direction, and every image is judged by
the one that it had no part in (leave-one-out). Along it 0 is the set's median and 1 the mean of other things. It is
stiff at first, and near-identical images count once, so that strays that come as a crowd, such as a logo forty times,
cannot bend it round themselves.

f0, how far sound images lie out, is a Weibull tail whose scale the set itself tells, with a conjugate prior: of few
images little is known of the tail, so it is heavy and nobody is accused lightly. The share of strays and what is fitted
to sound images are found by EM: what is probably off topic teaches nothing of skin.

Of an encoder without such pictures, only the distance to the set can tell: an a-contrario test (Desolneux et al. 2008)
whose p-value becomes the least odds that it allows (Sellke, Bayarri and Berger 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from pipeline.core import vector_search
from pipeline.core.progress import track
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.off_topic_reference import REFERENCES, Reference
from pipeline.stages.label_noise.params import LabelNoiseParams

# Set by `bench.label_noise off-topic` on the half of the pictures and images that it chooses on.
RIDGES = (10.0, 1.0, 0.1, 0.03, 0.03, 0.03)  # by round of EM, added to the mean second moment, which has trace 1
SHAPE = 1.35  # of the Weibull tail of sound images: between the exponential's 1 and the normal distribution's 2
SCALE, SCALE_IMAGES = 0.075, 20.0  # of the tail, beforehand, and how many images beyond the median that is worth
SAME = 0.98  # cosine from which images are near-identical, and count once
NEAR = 0.3  # within it the tail's density counts as here: Weibull's has no mass at 0
OTHERS_MEAN, OTHERS_STD = 0.9, 0.2  # of other things along the discriminant, of kinds not in the reference too
SHARE, SHARE_IMAGES = 0.02, 50.0  # of strays, beforehand, and how many images that is worth
FIRST_SHARE = 0.2  # of strays, in the first round: whom it wrongly doubts, later rounds acquit
BLOCK = 512  # images at a time

# Of an encoder without a reference.
BODY = 0.75  # quantile where the tail begins: strays may make up an eighth of train before the median of the tail moves
VECTOR_SHARE = 0.1  # of train within the radius, by the encoder's vector: not larger than a diagnosis
LAYER_SHARE = 0.25  # of train within the radius, by each layer


def score_off_topic(dataset: Dataset) -> NDArray[np.float64]:
    """Give the probability that each image of the dataset shows no skin, judged beside train: (n,)."""
    others = REFERENCES.get(dataset.encoder)
    if others is None:
        views = [(dataset.vectors, VECTOR_SHARE), *((layer, LAYER_SHARE) for layer in dataset.layers)]
        return score_distances([radius_in_train(dataset, *view) for view in views], dataset.reference)
    return score_beside(dataset.vectors, dataset.reference, others)


def queue_off_topic(probability: NDArray[np.float64], dataset: Dataset, params: LabelNoiseParams) -> pd.DataFrame:
    """Make the table OffTopicQueue: of validation and test, which no policy touches, the sure ones too.

    Args:
        probability: (n,) to be off topic.
        dataset: its images, row by row.
        params: from which probability a person looks, and from which the policy acts.

    """
    order = np.lexsort((dataset.image_id, -probability))
    order = order[~dataset.removed[order]]
    left_out = (dataset.split == "train") & (probability >= params.exclude_min_off_topic)
    order = order[~left_out[order]]
    queued = order[probability[order] >= params.min_off_topic]
    left = probability[order].sum() - probability[queued].cumsum()
    columns = {"image_id": dataset.image_id[queued], "place": np.arange(1, len(queued) + 1)}
    return pd.DataFrame(columns | {"off_topic": probability[queued], "off_topic_left": np.maximum(left, 0.0)})


def score_beside(vectors: NDArray[np.float32], reference: NDArray[np.bool_], others: Reference) -> NDArray[np.float64]:
    """Give the probability that images are off topic, by EM.

    Args:
        vectors: (n, d) of the images.
        reference: (n,) which of them are the set, strays among them.
        others: of pictures of other things, by the same encoder.

    Returns:
        (n,); the share beforehand where the set holds fewer than two images.

    """
    if reference.sum() < 2:  # noqa: PLR2004 - nothing is left to judge the one by
        return np.full(len(vectors), SHARE)
    once = count_once(vectors, reference)
    sound, share = once, FIRST_SHARE
    for number, ridge in enumerate(track(RIDGES, "off-topic images", unit="rounds")):
        outlying = discriminate(vectors, sound, others, ridge=ridge)
        # At first the side away from other things tells the scale: no stray lies there.
        told = outlying if number else -outlying
        probability = mix(outlying, scale_tail(told, sound), share=share)
        strays = float(once @ probability)
        share = (SHARE * SHARE_IMAGES + strays) / (SHARE_IMAGES + float(once.sum()))
        sound = once * (1 - probability)
    return probability


def count_once(vectors: NDArray[np.float32], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh each image of the set by 1 / how many of it are near-identical to it, itself among them: (n,); others 0.

    A logo that came forty times is one picture. In a large set a sample tells how many are near-identical.
    """
    rows = np.flatnonzero(reference)
    chosen = _sampled(rows)
    weights = np.zeros(len(vectors))
    for some in np.array_split(rows, range(BLOCK, len(rows), BLOCK)):
        same = (vectors[some] @ vectors[chosen].T >= SAME) & (some[:, None] != chosen)
        weights[some] = 1 / (1 + same.sum(axis=1) * len(rows) / len(chosen))
    return weights


def _sampled(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Draw as many as all images can be compared with, sorted; all rows if there are no more."""
    if len(rows) <= vector_search.EXACT:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, vector_search.EXACT, replace=False))


def discriminate(
    vectors: NDArray[np.float32], weights: NDArray[np.float64], others: Reference, *, ridge: float
) -> NDArray[np.float64]:
    """Project images onto Fisher's discriminant, found by ridge regression (Hastie et al. 2009, 4.2), leave-one-out.

    Args:
        vectors: (n, d).
        weights: (n,) of the images as examples of the set; 0 for those that are none.
        others: of pictures of other things.
        ridge: added to the moment that is inverted.

    Returns:
        (n,): 0 at the set's median, 1 at the mean of other things.

    """
    count, width = vectors.shape
    rows = np.ones((count, width + 1), np.float32)
    rows[:, :-1] = (vectors - others.mean) / (others.std * np.sqrt(width))
    weights = (0.5 * weights / weights.sum()).astype(np.float32)
    moment = (rows * weights[:, None]).T @ rows
    moment[np.diag_indices(width)] += 0.5 / width + ridge  # of other things, whose mean is 0 and whose spread is 1
    moment[-1, -1] += 0.5
    factor = cho_factor(moment.astype(np.float64))
    target = np.zeros(width + 1)
    target[-1] = 0.5  # 1 for other things, 0 for the set
    direction = cho_solve(factor, target)
    leverage = np.concatenate(
        [
            np.einsum("ij,ji->i", part, cho_solve(factor, part.T.astype(np.float64)))
            for part in np.array_split(rows, range(BLOCK, count, BLOCK))
        ]
    )
    value = (rows @ direction) / (1 - weights * leverage)
    middle = float(np.median(value[weights > 0.5 * weights.max()]))
    outlying: NDArray[np.float64] = (value - middle) / max(float(direction[-1]) - middle, 1e-6)
    return outlying


def scale_tail(distance: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Learn the Weibull tail's scale with its conjugate Gamma prior: its shape, and its rate.

    Args:
        distance: (n,) of images from the set's median; negative on the side that tells nothing.
        weights: (n,) how far each image tells the scale.

    """
    weights = np.where(distance > 0, weights, 0.0)
    known = SCALE_IMAGES + float(weights.sum())
    return known, SCALE_IMAGES * SCALE + float(weights @ np.maximum(distance, 0) ** SHAPE)


def mix(outlying: NDArray[np.float64], scale: tuple[float, float], *, share: float) -> NDArray[np.float64]:
    """Weigh the two components: (n,) probabilities of the second.

    Args:
        outlying: (n,) from `discriminate`.
        scale: of the tail, from `scale_tail`; the predictive distribution of outlying ** SHAPE is then Lomax's.
        share: of the second component.

    """
    known, total = scale
    tail = np.maximum(outlying, 0) ** SHAPE
    log_sound = (
        np.log(0.5 * SHAPE * known / total)
        + (1 - 1 / SHAPE) * np.log(np.maximum(tail, NEAR**SHAPE))
        - (known + 1) * np.log1p(tail / total)
    )
    far = np.minimum(outlying, OTHERS_MEAN)  # beyond the mean of other things nothing speaks for skin again
    log_others = -((far - OTHERS_MEAN) ** 2) / (2 * OTHERS_STD**2) - np.log(OTHERS_STD * np.sqrt(2 * np.pi))
    return _posterior(log_others - log_sound, share)


def _posterior(log_ratio: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    probability: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(log_ratio + np.log(share / (1 - share)), -500, 500)))
    return probability


def radius_in_train(dataset: Dataset, vectors: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """Measure how far around each image a share of train lies.

    Args:
        dataset: images in scope.
        vectors: (n, d) of one view of them.
        share: of the reference images; those of the own group count, but lie infinitely far.

    Returns:
        (n,) distances 1 - cosine; 0 where other groups hold less than the share.

    """
    chosen = _sampled(np.flatnonzero(dataset.reference))
    references, group = vectors[chosen], dataset.group[chosen]
    rank = len(references) - max(1, round(share * len(references)))
    cosines = np.empty(len(vectors), np.float64)
    for start in track(range(0, len(cosines), BLOCK), "off-topic images"):
        rows = slice(start, start + BLOCK)
        similar = vectors[rows] @ references.T
        similar[dataset.group[rows, None] == group] = -np.inf
        similar.partition(rank, axis=1)
        cosines[rows] = similar[:, rank]
    return np.where(np.isfinite(cosines), 1 - cosines, 0.0)


def score_distances(distances: Sequence[NDArray[np.float64]], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Turn the chance that an image of the set lies as far out into a probability.

    Args:
        distances: of each view (n,).
        reference: (n,) which images are the set, strays among them.

    """
    total = np.sum([_excess(distance, distance[reference]) for distance in distances], axis=0)
    excess = _excess(total, total[reference])
    if not (excess[reference] > 0).any():  # train is one point: whatever lies there is typical
        return np.where(excess > 0, 1.0, 0.0)
    p_value = np.maximum((1 - BODY) * _chance(excess, int((excess[reference] > 0).sum())), 1e-300)
    return _posterior(-np.log(-np.e * p_value * np.log(p_value)), SHARE)


def _chance(excess: NDArray[np.float64], tail: int) -> NDArray[np.float64]:
    """Say how likely an image of the tail is as far out: (1 + excess / k) ** -k, with k = tail * ln(2)².

    Were the tail's scale known, it would be exp(-excess). It is estimated from few images, and the predictive
    distribution of an exponential whose scale k images tell is this one (Lomax): heavy for a small set, the
    exponential for a large one. The median of a tail tells as much of its scale as the mean of ln(2)² times as many
    images would.
    """
    known = tail * np.log(2) ** 2
    with np.errstate(over="ignore"):
        chance: NDArray[np.float64] = (1 + excess / known) ** -known
    return chance


def _excess(distance: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how far beyond the reference's body a distance lies, in units of an exponential tail fitted to it: (n,).

    The tail's scale is from its median, which strays do not move as they move a mean. Where the reference is one point,
    whatever lies off it is infinitely far.
    """
    begin = float(np.quantile(reference, BODY))
    tail = reference[reference > begin] - begin
    if len(tail) == 0:
        return np.where(distance > begin + 1e-6, np.inf, 0.0)
    excess: NDArray[np.float64] = np.maximum(distance - begin, 0) / (float(np.median(tail)) / np.log(2))
    return excess
