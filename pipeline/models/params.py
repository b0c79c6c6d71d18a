"""How a member is trained, as params.yaml says it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.core.params import Section

LossName = Literal["cross_entropy", "focal", "logit_adjusted", "generalized_cross_entropy", "symmetric_cross_entropy"]


class Recipe(Section):
    """How a network is trained.

    patience_epochs: epochs without a better validation score after which training stops.
    """

    epochs: PositiveInt
    patience_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    label_smoothing: float = Field(ge=0, lt=1)
    warmup_epochs: NonNegativeInt


class Member(Recipe):
    """One network of the ensemble, and its recipe.

    backbone: a timm model name; of a probe, the name of an encoder of `embed`.
    weights: a file in data/raw/weights/, or None for random initialisation; None for a probe.
    trainable: `all` layers, the `head` on frozen features, or a `probe`: a linear head on what `embed` wrote.
    side_pixels: input side; None for a probe.
    augmentation: a key of `models.batches.AUGMENTATIONS`.
    """

    backbone: str
    weights: str | None
    trainable: Literal["all", "head", "probe"]
    side_pixels: PositiveInt | None
    augmentation: Literal["none", "light", "strong"]

    @model_validator(mode="after")
    def _frozen_features_are_computed_once(self) -> Self:
        if self.trainable != "all" and self.augmentation != "none":
            raise ValueError(f"trainable: {self.trainable} has its features once, so augmentation must be none")
        if self.trainable == "probe" and (self.weights is not None or self.side_pixels is not None):
            raise ValueError("trainable: probe reads what embed wrote, so weights and side_pixels must be null")
        if self.trainable != "probe" and self.side_pixels is None:
            raise ValueError(f"trainable: {self.trainable} takes pixels: say side_pixels")
        return self

    @property
    def side(self) -> int:
        """Input side of a network that takes pixels."""
        assert self.side_pixels is not None  # noqa: S101 - checked above
        return self.side_pixels
