"""What `label_noise` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Probe(Section):
    """What judges labels by embeddings: a classifier, and the nearest images beside it.

    folds: of the cross-fitting; a diagnosis with fewer groups in train is not judged.
    repeats: of the cross-fitting, with other folds.
    encoders: `pooled`: a probe on each encoder's vectors, their opinions pooled; `concatenated`: one on all.
    components: principal components kept of an encoder's vectors.
    context_weight: of the patient's context beside them.
    landmarks: of the Gaussian kernel, chosen among train; 0: a straight probe.
    curvature: of the kernel, which is exp(-curvature) at the median distance.
    c: inverse L2 strengths, for as many features of mean variance 1 as there are components. Of several the one is
        taken, for each fold and encoder, that does best on groups held out within what the fold's probe learns from.
    nearest: images of other groups that have a say by how near they are; 0: none.
    nearest_components: principal components of each encoder's vectors by which they are near.
    """

    folds: int = Field(ge=2)
    repeats: PositiveInt
    encoders: Literal["pooled", "concatenated"]
    components: PositiveInt
    context_weight: float = Field(ge=0)
    landmarks: NonNegativeInt
    curvature: PositiveFloat
    c: list[PositiveFloat] = Field(min_length=1)
    nearest: NonNegativeInt
    nearest_components: PositiveInt
    seed: NonNegativeInt


class Noise(Section):
    """How the noise matrix is estimated.

    start: share of wrong labels assumed at first.
    rounds: re-estimations of the matrix, each followed by a new fit.
    prior_lesions: weight, in lesions a diagnosis, of noise without a shape; shrinks the matrix of rare diagnoses.
    glances: numbers of principal components that people may see who label in haste, and err where a picture looks, at a
        glance, like another diagnosis. The labels say which of them is like it, and how many are given so; none: all
        labels are given with care.
    """

    start: float = Field(gt=0, lt=0.5)
    rounds: NonNegativeInt
    prior_lesions: PositiveFloat
    glances: list[PositiveInt]


class OffTopic(Section):
    """How far off topic an image is: as the radius around it that takes in a share of train.

    share: by the encoder's vectors.
    level_share: by each of its levels.
    """

    share: float = Field(gt=0, lt=1)
    level_share: float = Field(gt=0, lt=1)


class Audit(Section):
    """The random sample that says how many labels are wrong.

    images: to look at.
    strata: at most; more make the interval wider where errors are rare.
    """

    images: PositiveInt
    strata: PositiveInt
    seed: NonNegativeInt


class Queue(Section):
    """What a person's look costs, and what it may overrule.

    first_image_seconds: to judge a lesion.
    next_image_seconds: for each further image of it.
    evidence_odds: by how a diagnosis was confirmed, what the odds of an error are multiplied with; 1 where it is not
        listed. It orders the queue only: `error_probability` in LabelScores does not know of it.
    """

    first_image_seconds: PositiveFloat
    next_image_seconds: PositiveFloat
    evidence_odds: dict[str, PositiveFloat]


class LabelNoiseParams(StageParams):
    """Params of the stage.

    encoders: of `embed`; the first one's vectors and layers judge labels, of the others their layers.
    context: what of the patient the probes may know; sources without it lose nothing.
    method: the score that ranks suspects, a key of `suspects.METHODS`.
    min_error_probability: a label at or above it is a suspect.
    conflict_error_probability: given at least to a label that a copy contradicts and the probes side against.
    examples: nearest images shown of each diagnosis.
    pictures: images on each contact sheet.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "encoders": "encoders",
        "context": "label_noise.context",
        "probe": "label_noise.probe",
        "noise": "label_noise.noise",
        "method": "label_noise.method",
        "min_error_probability": "label_noise.min_error_probability",
        "conflict_error_probability": "label_noise.conflict_error_probability",
        "off_topic": "label_noise.off_topic",
        "examples": "label_noise.examples",
        "pictures": "label_noise.pictures",
        "audit": "label_noise.audit",
        "queue": "label_noise.queue",
    }

    batches: list[str]
    classes: Classes
    encoders: list[str]
    context: list[Literal["age", "sex", "site"]]
    probe: Probe
    noise: Noise
    method: Literal["noise_matrix", "self_confidence", "normalized_margin"]
    min_error_probability: float = Field(gt=0, le=1)
    conflict_error_probability: float = Field(ge=0, le=1)
    off_topic: OffTopic
    examples: PositiveInt
    pictures: PositiveInt
    audit: Audit
    queue: Queue
