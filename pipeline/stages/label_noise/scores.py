"""Label scores: how likely each given label is wrong, and why, in words that a steward can check against the image.

    P(true | image, labels) ∝ P(true | image) · Π P(label | true, image) · s(true | image)^a · e^(b [true = given])

The product is over the labels of a lesion. s is what classifiers say that have learnt every label of train, the image's
own too: a label that is hard to learn even so is suspicious (small-loss selection, Han et al., Co-teaching, 2018), and
the less so the farther from all others its image lies, which out-of-fold predictions do not know. s leans to the given
label, so b, one number for all, keeps the expected number of wrong labels as it was.

By choice cleanlab's scores (Northcutt et al. 2021) instead. Copies of one image that carry different labels contradict
each other whatever the image shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from pipeline.stages.label_noise.cross_validation import Hypothesis, Predictions
from pipeline.stages.label_noise.dataset import Dataset, of_given
from pipeline.stages.label_noise.knn import NONE, nearest_of_class, nearest_references
from pipeline.stages.label_noise.params import LabelNoiseParams

NO_COPY = -1
EXAMPLES = 3  # nearest images of each diagnosis that are shown beside a suspect
SEEN_WEIGHT = 0.5  # a; set on seeds, lesions and sizes that no table reports (decision 25)
MAX_LIFT = 50.0  # of |b|: e to this power is as good as certain
SURENESS = ((0.95, "almost surely"), (0.7, "probably"), (0.5, "rather"), (0.0, "perhaps"))  # from which probability on
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Posterior:
    """What a method makes of the labels.

    probabilities: (n, classes) what the image shows.
    posterior: (n, classes) the same with the given labels taken into account, where the method does so.
    error_probability: (n,) that the given label is wrong.
    """

    probabilities: NDArray[np.float64]
    posterior: NDArray[np.float64]
    error_probability: NDArray[np.float64]

    @property
    def suggested(self) -> NDArray[np.intp]:
        """Position of the most probable diagnosis of each image, (n,)."""
        positions: NDArray[np.intp] = self.posterior.argmax(axis=1)
        return positions


def score_labels(
    dataset: Dataset,
    predictions: Predictions,
    conflicting: NDArray[np.intp],
    *,
    method: str,
    conflict_error_probability: float,
) -> Posterior:
    """Score labels by a method; where copies contradict each other, by that too.

    A label without a prediction gets the mean error probability of train.

    Args:
        dataset: images in scope.
        predictions: of them.
        conflicting: (n,) from `conflicting_copies`.
        method: a key of `METHODS`.
        conflict_error_probability: given at least to a label that lost against that of a copy.

    """
    scored = METHODS[method](dataset, predictions)
    known = predictions.has_prediction & dataset.reference
    usual = float(scored.error_probability[known].mean()) if known.any() else 0.0
    errors = np.where(predictions.has_prediction, scored.error_probability, usual)
    scored = replace(scored, error_probability=np.clip(errors, 0.0, 1.0))
    return penalise_conflicts(
        dataset, scored, conflicting, has_prediction=predictions.has_prediction, floor=conflict_error_probability
    )


def by_noise_matrix(dataset: Dataset, predictions: Predictions) -> Posterior:
    """Weigh image against label by the noise model, all labels of a lesion at once.

    A lesion whose images agree in their label counts as labelled once, because labels are given to lesions; where they
    differ, each label is evidence of its own.
    """
    labels = np.unique(np.column_stack([dataset.lesion, dataset.given])[predictions.has_prediction], axis=0)
    posterior = np.zeros((len(dataset.given), len(dataset.classes)))
    for hypothesis in predictions.hypotheses:
        posterior += hypothesis.model.evidence * _posterior(dataset, hypothesis, labels)
    posterior = weigh_in_seen(posterior, predictions.seen, dataset.given)
    return Posterior(predictions.pooled, posterior, 1 - of_given(posterior, dataset.given))


def weigh_in_seen(
    posterior: NDArray[np.float64], seen: NDArray[np.float64], given: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Let classifiers that have seen the labels say which of them were hard to learn; as many stay wrong as before.

    Args:
        posterior: (n, classes), rows sum to 1.
        seen: (n, classes) s; 1 in a row of which nothing was learnt, which stays as it is.
        given: (n,) class numbers.

    """
    learnt = seen.min(axis=1) < 1
    scores = np.log(np.maximum(posterior[learnt], TINY)) + SEEN_WEIGHT * np.log(np.maximum(seen[learnt], TINY))
    own = np.eye(posterior.shape[1])[given[learnt]]
    right = float((posterior[learnt] * own).sum())

    def excess(lift: float) -> float:
        return float((softmax(scores + lift * own, axis=1) * own).sum()) - right

    if not excess(-MAX_LIFT) < 0 < excess(MAX_LIFT):  # all are right, or all wrong, whatever is said
        return posterior
    weighed = posterior.copy()
    weighed[learnt] = softmax(scores + brentq(excess, -MAX_LIFT, MAX_LIFT) * own, axis=1)
    return weighed


def _posterior(dataset: Dataset, hypothesis: Hypothesis, labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return P(true | image, labels of the lesion) under one hypothesis, (n, classes).

    Args:
        dataset: images in scope.
        hypothesis: of how labels come about.
        labels: (labels, 2) each lesion's different labels: its number, and the class number.

    """
    lesions, given = labels.T
    weight, weak = hypothesis.model.mixture_weight, np.zeros((dataset.lesion.max() + 1, len(dataset.classes)))
    weak[dataset.lesion] = hypothesis.weak  # the same for all images of a lesion
    instance_dependent = weight * of_given(weak[lesions], given)[:, None]
    likelihood = (1 - weight) * hypothesis.model.noise_matrix[:, given].T + instance_dependent
    evidence = np.zeros_like(weak)
    np.add.at(evidence, lesions, np.log(np.maximum(likelihood, TINY)))
    scores = np.log(np.maximum(hypothesis.pooled, TINY)) + evidence[dataset.lesion]
    posterior: NDArray[np.float64] = softmax(scores, axis=1)
    return posterior


def by_self_confidence(dataset: Dataset, predictions: Predictions) -> Posterior:
    """Take 1 - cleanlab's self-confidence."""
    return _by_cleanlab(dataset, predictions, "self_confidence")


def by_normalized_margin(dataset: Dataset, predictions: Predictions) -> Posterior:
    """Take 1 - cleanlab's normalised margin."""
    return _by_cleanlab(dataset, predictions, "normalized_margin")


METHODS: dict[str, Callable[[Dataset, Predictions], Posterior]] = {
    "noise_matrix": by_noise_matrix,
    "self_confidence": by_self_confidence,
    "normalized_margin": by_normalized_margin,
}


def _by_cleanlab(dataset: Dataset, predictions: Predictions, method: str) -> Posterior:
    """Take 1 - cleanlab's label quality; 0 where there is one class."""
    quality = np.ones(len(dataset.given))
    if len(dataset.classes) > 1:
        quality = np.clip(get_label_quality_scores(dataset.given, predictions.pred_probs, method=method), 0.0, 1.0)
    return Posterior(predictions.pred_probs, predictions.pred_probs, 1 - quality)


def conflicting_copies(dataset: Dataset) -> NDArray[np.intp]:
    """Find for each image the first copy of it that carries another label; `NO_COPY` where all copies agree: (n,)."""
    conflicting = np.full(len(dataset.given), NO_COPY)
    labels = np.unique(np.column_stack([dataset.copy_group, dataset.given]), axis=0)
    for copy_group in np.flatnonzero(np.bincount(labels[:, 0]) > 1):
        copies = np.flatnonzero(dataset.copy_group == copy_group)
        for copy in copies:
            conflicting[copy] = copies[dataset.given[copies] != dataset.given[copy]][0]
    return conflicting


def penalise_conflicts(
    dataset: Dataset,
    scored: Posterior,
    conflicting: NDArray[np.intp],
    *,
    has_prediction: NDArray[np.bool_],
    floor: float,
) -> Posterior:
    """Raise the error probability where copies of one image carry different labels: at most one can be right.

    The label that the posterior favours keeps what it has; every other gets `floor` at least, whatever the classifiers
    made of it. Where one of the labels has no prediction, none is favoured: each gets 1 - 1 / labels at least.
    """
    errors = scored.error_probability.copy()
    for copy_group in np.unique(dataset.copy_group[conflicting != NO_COPY]):
        copies = np.flatnonzero(dataset.copy_group == copy_group)
        labels = np.unique(dataset.given[copies])
        if has_prediction[copies].all():
            favoured = labels[scored.posterior[copies[0]][labels].argmax()]
            lost = copies[dataset.given[copies] != favoured]
            errors[lost] = np.maximum(errors[lost], floor)
        else:
            errors[copies] = np.maximum(errors[copies], 1 - 1 / len(labels))
    return replace(scored, error_probability=errors)


def tabulate_scores(
    dataset: Dataset,
    predictions: Predictions,
    scored: Posterior,
    *,
    conflicting: NDArray[np.intp],
    off_topic: NDArray[np.float64],
    params: LabelNoiseParams,
) -> pd.DataFrame:
    """Fill the table LabelScores, all but its probabilities."""
    doubted = (scored.error_probability >= params.min_error_probability) | (conflicting != NO_COPY)
    another = scored.suggested != dataset.given
    shown = np.flatnonzero(dataset.reference & ~doubted)  # an example must not be in doubt itself
    examples = {
        name: [
            dataset.image_id[positions].tolist()
            for positions in nearest_of_class(
                predictions.knn_embedding,
                wanted,
                group=dataset.group,
                references=shown,
                reference_class=dataset.given[shown],
                count=EXAMPLES,
            )
        ]
        for name, wanted in (("nearest_given", dataset.given), ("nearest_suggested", scored.suggested))
    }
    neighbours, _ = nearest_references(dataset, predictions.knn_embedding, EXAMPLES)
    return pd.DataFrame(
        {
            "image_id": dataset.image_id,
            "given": dataset.names(dataset.given),
            "suggested": dataset.names(scored.suggested),
            "error_probability": scored.error_probability,
            "suspect": doubted & another,
            "ambiguous": doubted & ~another,
            "reason": write_reasons(
                dataset,
                scored,
                has_prediction=predictions.has_prediction,
                conflicting=conflicting,
                neighbours=neighbours,
            ),
            "off_topic": off_topic,
            **examples,
        }
    )


def write_reasons(
    dataset: Dataset,
    scored: Posterior,
    *,
    has_prediction: NDArray[np.bool_],
    conflicting: NDArray[np.intp],
    neighbours: NDArray[np.intp],
) -> list[str]:
    """Write one sentence an image.

    Args:
        dataset: images in scope.
        scored: by the method in params.
        has_prediction: (n,) false where the given diagnosis is too rare in train.
        conflicting: (n,) a copy with another label, or `NO_COPY`.
        neighbours: (n, k) positions of the nearest reference images of other groups, or `NONE`.

    """
    given, suggested = dataset.names(dataset.given), dataset.names(scored.suggested)
    return [
        "; ".join(
            [
                _verdict(dataset, scored, i),
                *_grounds(dataset, scored, i, has_prediction=bool(has_prediction[i]), copy=int(conflicting[i])),
            ]
        )
        + _neighbours_clause(given[neighbours[i][neighbours[i] != NONE]], str(given[i]), str(suggested[i]))
        for i in range(len(given))
    ]


def in_words(probability: float) -> str:
    """Say how sure a probability is; the words change where the number that stands beside them does."""
    shown = float(f"{probability:.2f}")  # as it is printed
    return next(words for least, words in SURENESS if shown >= least)


def _verdict(dataset: Dataset, scored: Posterior, i: int) -> str:
    """Say what is given and what is suggested, each with its posterior."""
    posterior, own, best = scored.posterior[i], int(dataset.given[i]), int(scored.suggested[i])
    given = f"{dataset.classes[own]} ({posterior[own]:.2f})"
    if best != own:
        return f"{in_words(posterior[best])} {dataset.classes[best]} ({posterior[best]:.2f}), not {given} as labelled"
    if len(posterior) == 1:
        return f"{given} as labelled"
    second = int(np.argsort(posterior, kind="stable")[-2])
    return f"{in_words(posterior[own])} {given} as labelled, then {dataset.classes[second]} ({posterior[second]:.2f})"


def _grounds(dataset: Dataset, scored: Posterior, i: int, *, has_prediction: bool, copy: int) -> Iterator[str]:
    """Say why: a copy's label, what the image shows, and what labels like this one turn out to be."""
    if copy != NO_COPY:
        yield f"its copy {dataset.image_id[copy]} is labelled {dataset.classes[dataset.given[copy]]}"
    shown, own, best = scored.probabilities[i], int(dataset.given[i]), int(scored.suggested[i])
    first, given = int(shown.argmax()), dataset.classes[own]
    looks = f"it looks like {dataset.classes[first]} ({shown[first]:.2f})"
    yield looks if first == own else f"{looks} more than {given} ({shown[own]:.2f})"
    if first != best and best == own:
        yield f"but labels {given} are seldom wrong for {dataset.classes[first]}"
    elif first != best and first == own:
        yield f"but labels {given} are often wrong for {dataset.classes[best]}"
    elif first != best:
        yield f"labels {given} are more often wrong for {dataset.classes[best]} than for {dataset.classes[first]}"
    if not has_prediction:
        yield f"{given} has too few groups in train to be judged"


def _neighbours_clause(labels: NDArray[np.object_], given: str, suggested: str) -> str:
    """Say what the nearest reference images are labelled."""
    if len(labels) == 0:
        return ""
    counts = {name: int(np.sum(labels == name)) for name in dict.fromkeys([suggested, given])}
    known = " and ".join(f"{count} {name}" for name, count in counts.items())
    return f"; of its {len(labels)} nearest train images {known}"
