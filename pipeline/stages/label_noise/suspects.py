"""From what the pictures show to how likely each given label is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores

from pipeline.stages.label_noise.labelled import Labelled, of_given
from pipeline.stages.label_noise.probabilities import Beliefs

Array = np.ndarray[Any, Any]

NOBODY = -1


@dataclass(frozen=True)
class Judgement:
    """What a method makes of the labels.

    probabilities: (n, classes), what the picture shows.
    verdict: (n, classes), the same with the given label taken into account where the method does so.
    error_probability: (n,), that the given label is wrong.
    """

    probabilities: Array
    verdict: Array
    error_probability: Array

    @property
    def suggested(self) -> Array:
        """Position of the most probable diagnosis of each image."""
        found: Array = self.verdict.argmax(axis=1)
        return found


def judge(labelled: Labelled, beliefs: Beliefs, rival: Array, *, method: str, floor: float) -> Judgement:
    """Judge labels by a method; where copies contradict each other, by that too.

    A label that the probes have no opinion on gets the mean error probability of train.

    Args:
        labelled: images in scope.
        beliefs: what the probes make of them.
        rival: from `rivals`.
        method: a key of `METHODS`.
        floor: error probability, at least, of a label that lost against that of a copy.

    """
    judgement = METHODS[method](labelled, beliefs)
    known = beliefs.judged & labelled.voter
    usual = float(judgement.error_probability[known].mean()) if known.any() else 0.0
    errors = np.where(beliefs.judged, judgement.error_probability, usual)
    judgement = replace(judgement, error_probability=np.clip(errors, 0.0, 1.0))
    return settle_conflicts(labelled, judgement, rival, judged=beliefs.judged, floor=floor)


def by_noise_matrix(labelled: Labelled, beliefs: Beliefs) -> Judgement:
    """Weigh picture against label: P(true | x, given) ∝ P(true | x) · P(given | true), all labels of a lesion at once.

    A label is given with care, and errs as the noise matrix says, or in haste, and is what a brief look suggests,
    whatever the truth: see `calibration`.

    A lesion whose images agree in their label counts as labelled once, because labels are given to lesions; where they
    differ, each label is evidence of its own.
    """
    labels = np.unique(np.column_stack([labelled.lesion, labelled.given])[beliefs.judged], axis=0)
    tiny = np.finfo(np.float64).tiny
    lesions, given = labels.T
    haste, glance = beliefs.haste, np.zeros((labelled.lesion.max() + 1, len(labelled.classes)))
    glance[labelled.lesion] = haste.shown  # the same for all images of a lesion
    hasty = haste.share * of_given(glance[lesions], given)[:, None]
    likelihood = (1 - haste.share) * beliefs.noise[:, given].T + hasty
    evidence = np.zeros_like(glance)
    np.add.at(evidence, lesions, np.log(np.maximum(likelihood, tiny)))
    scores = np.log(np.maximum(beliefs.corrected, tiny)) + evidence[labelled.lesion]
    verdict = np.exp(scores - scores.max(axis=1, keepdims=True))
    verdict /= verdict.sum(axis=1, keepdims=True)
    return Judgement(beliefs.corrected, verdict, 1 - of_given(verdict, labelled.given))


def by_self_confidence(labelled: Labelled, beliefs: Beliefs) -> Judgement:
    """Take 1 - cleanlab's self-confidence."""
    score = cleanlab_score(labelled.given, beliefs.plain, method="self_confidence")
    return Judgement(beliefs.plain, beliefs.plain, 1 - score)


def by_normalized_margin(labelled: Labelled, beliefs: Beliefs) -> Judgement:
    """Take 1 - cleanlab's normalised margin."""
    score = cleanlab_score(labelled.given, beliefs.plain, method="normalized_margin")
    return Judgement(beliefs.plain, beliefs.plain, 1 - score)


METHODS: dict[str, Callable[[Labelled, Beliefs], Judgement]] = {
    "noise_matrix": by_noise_matrix,
    "self_confidence": by_self_confidence,
    "normalized_margin": by_normalized_margin,
}


def cleanlab_score(given: Array, probabilities: Array, *, method: str) -> Array:
    """Return cleanlab's label quality (Northcutt et al. 2021), 0 (surely wrong) to 1; 1 where there is one class."""
    if probabilities.shape[1] == 1:
        return np.ones(len(given))
    scores: Array = get_label_quality_scores(given, probabilities, method=method)
    return np.clip(scores, 0.0, 1.0)


def rivals(labelled: Labelled) -> Array:
    """Find for each image the first copy of it that carries another label; `NOBODY` where all copies agree."""
    found = np.full(len(labelled.given), NOBODY)
    labels = np.unique(np.column_stack([labelled.photograph, labelled.given]), axis=0)
    torn = np.flatnonzero(np.bincount(labels[:, 0]) > 1)
    for photograph in torn:
        copies = np.flatnonzero(labelled.photograph == photograph)
        for copy in copies:
            found[copy] = copies[labelled.given[copies] != labelled.given[copy]][0]
    return found


def settle_conflicts(
    labelled: Labelled, judgement: Judgement, rival: Array, *, judged: Array, floor: float
) -> Judgement:
    """Raise the error probability where copies of one photograph carry different labels: at most one can be right.

    The label that the verdict favours keeps what it has; every other gets `floor` at least, whatever the probes made
    of it. Where they have no opinion on one of the labels, none is favoured: each gets 1 - 1 / labels at least.
    """
    errors = judgement.error_probability.copy()
    for photograph in np.unique(labelled.photograph[rival != NOBODY]):
        copies = np.flatnonzero(labelled.photograph == photograph)
        labels = np.unique(labelled.given[copies])
        if judged[copies].all():
            favoured = labels[judgement.verdict[copies[0]][labels].argmax()]
            lost = copies[labelled.given[copies] != favoured]
            errors[lost] = np.maximum(errors[lost], floor)
        else:
            errors[copies] = np.maximum(errors[copies], 1 - 1 / len(labels))
    return replace(judgement, error_probability=errors)


def ambiguity(probabilities: Array) -> Array:
    """Say how far two diagnoses are both plausible: twice the second largest probability, 0 to 1 (a coin toss)."""
    if probabilities.shape[1] == 1:
        return np.zeros(len(probabilities))
    second: Array = 2 * np.partition(probabilities, -2, axis=1)[:, -2]
    return second
