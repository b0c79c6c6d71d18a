"""What `label_noise` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Probe(Section):
    """The classifier on embeddings that judges labels.

    components: principal components kept.
    c: inverse L2 strength of the logistic regression.
    """

    folds: int
    repeats: int
    components: int
    c: float
    seed: int


class LabelNoiseParams(StageParams):
    """Params of the stage.

    method: the score that ranks suspects, a key of `suspects.SCORES`.
    min_error_probability: a label at or above it is a suspect.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "probe": "label_noise.probe",
        "method": "label_noise.method",
        "min_error_probability": "label_noise.min_error_probability",
        "examples": "label_noise.examples",
        "pictures": "label_noise.pictures",
    }

    batches: list[str]
    classes: Classes
    probe: Probe
    method: Literal["noise_matrix", "self_confidence", "normalized_margin"]
    min_error_probability: float
    examples: int
    pictures: int
