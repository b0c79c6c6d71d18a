"""How a member is trained, as params.yaml says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    TypeAdapter,
)

from pipeline.core.params import Section

LossName = Literal["cross_entropy", "focal", "logit_adjusted", "generalized_cross_entropy", "symmetric_cross_entropy"]


class Recipe(Section):
    """How a network is trained.

    patience_epochs: epochs without a better validation score after which training stops.
    optimizer: of timm; `sgd` has Nesterov's momentum, `rmsprop` momentum, both of .9.
    schedule: of the learning rate after the warm-up, by timm: to zero along a cosine, to a tenth at each third of the
        epochs (`step`), or constant.
    ema_decay: of the exponential moving average of the weights, which is then what is scored and kept; 0: none.
    mixup_alpha: images are mixed by two shares from Beta(alpha, alpha) (Zhang et al. 2018); 0: none.
    precision: of the passes forward in training; `bf16` is faster on processors and GPUs that have it.
    """

    epochs: PositiveInt
    patience_epochs: PositiveInt
    batch_size: PositiveInt
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"]
    learning_rate: PositiveFloat
    schedule: Literal["cosine", "step", "constant"]
    warmup_epochs: NonNegativeInt
    weight_decay: NonNegativeFloat
    label_smoothing: float = Field(ge=0, lt=1)
    mixup_alpha: NonNegativeFloat
    ema_decay: float = Field(ge=0, lt=1)
    precision: Literal["fp32", "bf16"]


class _Member(Section):
    """One part of the ensemble.

    folds: networks that are trained, each without one fold of train's groups; they predict by their mean, and train
        out of fold, from which `stacking` learns. 1: one network, on all of train.
    """

    backbone: str
    folds: PositiveInt


class OnPixels(_Member):
    """A network that images go through.

    backbone: a timm model name; of a probe, the name of an encoder of `embed`.
    weights: a file in data/raw/weights/, or None for random initialisation.
    side_pixels: of the square input.
    """

    weights: str | None
    side_pixels: PositiveInt


class FineTuned(Recipe, OnPixels):
    """A network whose every layer is trained.

    trainable: `all` layers, the linear `head` on frozen features, or a `probe`: a linear head on what `embed` wrote.
        Head and probe choose the strength of their penalty themselves and have no recipe.
    augmentation: a key of `models.batches.AUGMENTATIONS`.
    test_time_augmentation: views of an image whose probabilities are averaged: itself, with its mirror images
        (`flips`, 4), or with its quarter turns too (`dihedral`, 8).
    """

    trainable: Literal["all"]
    augmentation: Literal["none", "light", "strong"]
    test_time_augmentation: Literal["none", "flips", "dihedral"]


class Head(OnPixels):
    """A linear head on the features of a frozen network, which are computed once, of images as they are.

    precision: of these features.
    """

    augmentation: ClassVar = "none"

    trainable: Literal["head"]
    precision: Literal["fp32", "bf16"]


class Probe(_Member):
    """A linear head on what `embed` wrote of an encoder, the member's `backbone`."""

    trainable: Literal["probe"]


def _tag(member: Any) -> str:  # noqa: ANN401 - whatever stands in params.yaml
    """Name a member's kind as errors tell it, of whose places `pipeline.params` drops what is no key."""
    kind = member.get("trainable") if isinstance(member, Mapping) else getattr(member, "trainable", None)
    return f"trainable: {kind}"


Member = Annotated[
    Annotated[FineTuned, Tag("trainable: all")]
    | Annotated[Head, Tag("trainable: head")]
    | Annotated[Probe, Tag("trainable: probe")],
    Discriminator(_tag, custom_error_type="trainable", custom_error_message="trainable must be all, head or probe"),
]


def read_member(entry: Mapping[str, Any]) -> Member:
    """Check one member of params.yaml.

    Raises:
        ValidationError: a key is missing, unknown or of the wrong type.

    """
    return _MEMBERS.validate_python(entry)


_MEMBERS: TypeAdapter[Member] = TypeAdapter(Member)
