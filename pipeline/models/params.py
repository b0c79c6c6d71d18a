"""How a member is trained, as params.yaml says it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.core.params import Section


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

    backbone: a timm model name.
    weights: a file in data/raw/weights/, or None for random initialisation.
    trainable: `all` layers, or the `head` on frozen features.
    side_pixels: input side.
    augmentation: a key of `models.batches.AUGMENTATIONS`.
    """

    backbone: str
    weights: str | None
    trainable: Literal["all", "head"]
    side_pixels: PositiveInt
    augmentation: Literal["none", "light", "strong"]

    @model_validator(mode="after")
    def _frozen_features_are_computed_once(self) -> Self:
        if self.trainable == "head" and self.augmentation != "none":
            raise ValueError("trainable: head computes features once, so augmentation must be none")
        return self
