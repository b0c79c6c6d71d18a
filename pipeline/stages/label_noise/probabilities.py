"""What each image shows, judged by probes that never saw it, its lesion or its copies, and by the nearest other images.

Train is judged out of fold within train, folds by group; validation and test by the same probes, none of which saw
them. So no label outside train has any influence on a train image, and no label any on what the probes say of its own
group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.core.folds import EVERY_FOLD, assign_folds, judged_by
from pipeline.stages.label_noise.calibration import calibrate, pool
from pipeline.stages.label_noise.features import narrow, project
from pipeline.stages.label_noise.labelled import Labelled, by_lesion
from pipeline.stages.label_noise.neighbours import opinion_of_nearest
from pipeline.stages.label_noise.params import Noise, Probe
from pipeline.stages.label_noise.probe import fit_probe, uniform_noise

Array = np.ndarray[Any, Any]

GLANCE_STRENGTH = 10.0  # a weak probe is weak by what it sees: of that it makes the most


@dataclass(frozen=True)
class Haste:
    """Labels that are given at a glance, as estimated on train.

    share: of the labels.
    components: that a glance takes in; 0: nobody is thought to label in haste.
    shown: (n, classes), what it takes the pictures for.
    """

    share: float
    components: int
    shown: Array


@dataclass(frozen=True)
class Beliefs:
    """What the probes make of the pictures, pooled over the images of a lesion; its own labels have no part in it.

    plain: (n, classes), by probes that take the labels of others at their word, the mean over encoders and fine-tuned
        members: what cleanlab expects.
    corrected: (n, classes), by probes that allow for wrong labels, the encoders', the nearest images' and the members'
        pooled and calibrated.
    noise: (classes, classes), P(given | true) of labels given with care, estimated on train.
    haste: how the other labels are given.
    near: (n, d) unit vectors whose cosine says what is near what; no label has a part in them.
    judged: (n,) false where train has too few groups of the given diagnosis for an opinion.
    """

    plain: Array
    corrected: Array
    noise: Array
    haste: Haste
    near: Array
    judged: Array


def believe(labelled: Labelled, params: Probe, noise: Noise) -> Beliefs:
    """Fit all probes and collect out-of-fold probabilities.

    Raises:
        UserError: train holds fewer than two groups.

    """
    folds = repeat_folds(labelled, params)
    wide = labelled.views if params.encoders == "pooled" else (np.hstack(labelled.views),)
    # One thread: products this narrow gain nothing from more, and the result does not depend on the number of cores.
    with threadpool_limits(limits=1):
        views = [narrow(view, labelled.voter, params.components) for view in wide]
        found = [out_of_fold(labelled, view, folds, params=params, noise=noise) for view in views]
        glances = np.concatenate([at_a_glance(labelled, view, folds, params=params, noise=noise) for view in views])
        near = side_by_side(labelled, views, params.nearest_components)
        nearest = [opinion_of_nearest(labelled, near, params.nearest)] if params.nearest else []
    trusting, allowing = ([of_view[i] for of_view in found] for i in range(2))
    plain = by_lesion(np.mean([*trusting, *labelled.members], axis=0), labelled.lesion)
    opinions = np.stack([by_lesion(opinion, labelled.lesion) for opinion in (*allowing, *nearest, *labelled.members)])
    pairs = np.unique(np.column_stack([labelled.given, labelled.group])[labelled.voter], axis=0)
    groups = np.bincount(pairs[:, 0], minlength=len(labelled.classes))
    judged = groups[labelled.given] >= params.folds
    corrected, matrix, haste = explain(labelled, opinions, glances, known=labelled.voter & judged, noise=noise)
    return Beliefs(plain, corrected, matrix, haste, near, judged)


def explain(
    labelled: Labelled, opinions: Array, glances: Array, *, known: Array, noise: Noise
) -> tuple[Array, Array, Haste]:
    """Pool opinions, and estimate how labels come about, so that those of train are as likely as can be.

    Args:
        labelled: images in scope.
        opinions: (opinions, n, classes).
        glances: (weak probes, n, classes).
        known: (n,) whose labels count.
        noise: how the noise matrix is estimated.

    Returns:
        pooled opinion (n, classes), noise matrix (classes, classes) of labels given with care, and the others.

    """
    nobody = Haste(0.0, 0, np.zeros_like(opinions[0]))
    if not known.any():
        return opinions.mean(axis=0), uniform_noise(len(labelled.classes), noise.start), nobody
    fit = calibrate(
        opinions[:, known],
        labelled.given[known],
        count=lesion_shares(labelled)[known],
        noise=noise,
        glances=glances[:, known],
    )
    if fit.glance is None:
        return pool(opinions, fit.powers), fit.matrix, nobody
    haste = Haste(fit.hasty, noise.glances[fit.glance % len(noise.glances)], glances[fit.glance])
    return pool(np.concatenate([opinions, haste.shown[None]]), fit.powers), fit.matrix, haste


def repeat_folds(labelled: Labelled, params: Probe) -> Array:
    """Assign each image, in each repeat, the fold that holds it out; `EVERY_FOLD` where no probe sees its group.

    Returns:
        (repeats, n) fold numbers; equal within a group, removed copies included.

    Raises:
        UserError: train holds fewer than two groups.

    """
    return np.stack(
        [
            assign_folds(labelled.given, labelled.group, labelled.voter, count=params.folds, seed=params.seed + repeat)
            for repeat in range(params.repeats)
        ]
    )


def out_of_fold(
    labelled: Labelled, vectors: Array, folds: Array, *, params: Probe, noise: Noise
) -> tuple[Array, Array]:
    """Fit one probe a fold and repeat on the vectors of one encoder; average what each image's probes say.

    Returns:
        probabilities by probes that take labels at their word, and by probes that allow for wrong ones: (n, classes)
        each, rows sum to 1.

    """
    shape, count = (len(labelled.given), len(labelled.classes)), lesion_shares(labelled)
    plain, corrected, votes = np.zeros(shape), np.zeros(shape), np.zeros(shape[0])
    for held_by in folds:
        for fold in range(held_by.max() + 1):
            learn, judge = labelled.voter & (held_by != fold), judged_by(fold, held_by)
            probe = fit_probe(
                vectors[learn],
                labelled.context[learn],
                labelled.given[learn],
                group=labelled.group[learn],
                count=count[learn],
                classes=shape[1],
                params=params,
                noise=noise,
            )
            shown = probe.predict(vectors[judge], labelled.context[judge])
            plain[judge] += shown[0]
            corrected[judge] += shown[1]
            votes[judge] += 1
    return plain / votes[:, None], corrected / votes[:, None]


def at_a_glance(labelled: Labelled, vectors: Array, folds: Array, *, params: Probe, noise: Noise) -> Array:
    """Say what those take the pictures for who look briefly: weak probes, that see few components and no context.

    Each learns from one half of the groups and judges the other.

    Args:
        labelled: images in scope.
        vectors: of one encoder, (n, d).
        folds: from `repeat_folds`; its first repeat counts.
        params: of strong probes.
        noise: how many components each weak probe sees.

    Returns:
        (weak probes, n, classes), pooled over the images of a lesion.

    """
    halves = np.where(folds[:1] == EVERY_FOLD, EVERY_FOLD, folds[:1] % 2)
    trusting = noise.model_copy(update={"rounds": 0})
    few = narrow(vectors, labelled.voter, max(noise.glances, default=1))
    found = []
    for components in noise.glances:
        weak = params.model_copy(
            update={"components": components, "context_weight": 0.0, "landmarks": 0, "c": [GLANCE_STRENGTH]}
        )
        shown, _ = out_of_fold(labelled, few, halves, params=weak, noise=trusting)
        found.append(by_lesion(shown, labelled.lesion))
    return np.array(found).reshape(-1, len(labelled.given), len(labelled.classes))


def side_by_side(labelled: Labelled, views: Sequence[Array], components: int) -> Array:
    """Put the first principal components of all views side by side, each view of equal weight: (n, d), unit norm."""
    stacked = np.hstack([project(view, labelled.voter, components) for view in views])
    unit: Array = stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return unit


def lesion_shares(labelled: Labelled) -> Array:
    """Weigh images so that each lesion counts once: 1 / its images that vote, (n,); 0 where none does."""
    voting = np.bincount(labelled.lesion, labelled.voter)[labelled.lesion]
    return np.divide(1.0, voting, out=np.zeros(len(voting)), where=voting > 0)
