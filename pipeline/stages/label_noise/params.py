"""What `label_noise` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Audit(Section):
    """The random sample that says how many labels are wrong.

    images: to look at.
    seed: of the draw, its own, so that another seed of the folds draws no other sample.
    """

    images: PositiveInt
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
    context: what of the patient the classifiers may know; sources without it lose nothing.
    folds: of the cross-validation.
    neighbours: of the kNN, of other groups; 0: none.
    method: the score that ranks suspects, a key of `scores.METHODS`.
    min_error_probability: a label at or above it is a suspect.
    conflict_error_probability: given at least to a label that a copy contradicts and the classifiers side against.
    min_off_topic: an image at or above it may show no skin: a person looks at it, unless the policy leaves it out.
    exclude_min_off_topic: from which the policy leaves an image out of train without a person.
    report_images: images on each contact sheet.
    audit: the random sample.
    queue: the order in which suspects are reviewed.
    seed: of the folds.
    """

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "seed": "seed",
        "encoders": "encoders",
        "context": "label_noise.context",
        "folds": "label_noise.folds",
        "neighbours": "label_noise.neighbours",
        "method": "label_noise.method",
        "min_error_probability": "label_noise.min_error_probability",
        "conflict_error_probability": "label_noise.conflict_error_probability",
        "min_off_topic": "label_noise.min_off_topic",
        "exclude_min_off_topic": "rebalance.label_policy.exclude_min_off_topic",
        "report_images": "label_noise.report_images",
        "audit": "label_noise.audit",
        "queue": "label_noise.queue",
    }

    batches: list[str]
    classes: Classes
    seed: NonNegativeInt
    encoders: list[str]
    context: list[Literal["age", "sex", "site"]]
    folds: int = Field(ge=2)
    neighbours: NonNegativeInt
    method: Literal["noise_matrix", "self_confidence", "normalized_margin"]
    min_error_probability: float = Field(gt=0, le=1)
    conflict_error_probability: float = Field(ge=0, le=1)
    min_off_topic: float = Field(gt=0, le=1)
    exclude_min_off_topic: float
    report_images: PositiveInt
    audit: Audit
    queue: Queue
