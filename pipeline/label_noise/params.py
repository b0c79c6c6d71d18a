"""What `label_noise` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Probe(Section):
    """The classifier on embeddings that judges labels.

    folds: of the cross-fitting; a diagnosis with fewer groups in train is not judged.
    repeats: of the cross-fitting, with other folds.
    components: principal components kept.
    c: inverse L2 strength, for features of mean variance 1.
    """

    folds: int = Field(ge=2)
    repeats: PositiveInt
    components: PositiveInt
    c: PositiveFloat
    seed: NonNegativeInt


class Noise(Section):
    """How the noise matrix is estimated.

    start: share of wrong labels assumed at first.
    rounds: re-estimations of the matrix, each followed by a new fit.
    prior_lesions: weight, in lesions a diagnosis, of noise without a shape; shrinks the matrix of rare diagnoses.
    """

    start: float = Field(gt=0, lt=0.5)
    rounds: NonNegativeInt
    prior_lesions: PositiveFloat


class LabelNoiseParams(StageParams):
    """Params of the stage.

    method: the score that ranks suspects, a key of `suspects.METHODS`.
    min_error_probability: a label at or above it is a suspect.
    conflict_error_probability: given at least to a label that a copy contradicts and the probes side against.
    off_topic_share: an image is as far off topic as the radius around it that takes in this share of train.
    examples: nearest images shown of each diagnosis.
    pictures: images on each contact sheet.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "probe": "label_noise.probe",
        "noise": "label_noise.noise",
        "method": "label_noise.method",
        "min_error_probability": "label_noise.min_error_probability",
        "conflict_error_probability": "label_noise.conflict_error_probability",
        "off_topic_share": "label_noise.off_topic_share",
        "examples": "label_noise.examples",
        "pictures": "label_noise.pictures",
    }

    batches: list[str]
    classes: Classes
    probe: Probe
    noise: Noise
    method: Literal["noise_matrix", "self_confidence", "normalized_margin"]
    min_error_probability: float = Field(gt=0, le=1)
    conflict_error_probability: float = Field(ge=0, le=1)
    off_topic_share: float = Field(gt=0, lt=1)
    examples: PositiveInt
    pictures: PositiveInt
