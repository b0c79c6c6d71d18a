"""What `rebalance` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Arm(Section):
    """One way to build the training set.

    drop_duplicates: leave copies out.
    label_policy: let the automatic policy act on suspects.
    decisions: apply the stewards' decisions to train.
    random_removal_as: take out as many train images of each class, at random, as that arm does (the control).
    """

    drop_duplicates: bool
    label_policy: bool
    decisions: bool
    random_removal_as: str | None


class LabelPolicy(Section):
    """What may happen to a train label without a person: at or above the thresholds, and nothing else."""

    exclude_min_error_probability: float
    downweight_min_error_probability: float
    downweight_to: float = Field(gt=0, le=1)
    exclude_min_off_topic: float


class Weights(Section):
    """Class weights: `inverse` frequency, `effective_number` (Cui et al. 2019) with `beta`, or `none`.

    max_ratio: bound of the largest to the smallest.
    """

    scheme: Literal["none", "inverse", "effective_number"]
    beta: float = Field(gt=0, lt=1)
    max_ratio: float = Field(ge=1)


class RebalanceParams(StageParams):
    """Params of every arm: all definitions, because a control needs those of the arm it follows."""

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "arms": "rebalance.arms",
        "label_policy": "rebalance.label_policy",
        "weights": "rebalance.weights",
        "seed": "seed",
    }

    batches: list[str]
    classes: Classes
    arms: dict[str, Arm]
    label_policy: LabelPolicy
    weights: Weights
    seed: int

    @field_validator("arms")
    @classmethod
    def _controls_follow_real_arms(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        for name, arm in arms.items():
            if arm.random_removal_as is None:
                continue
            followed = arms.get(arm.random_removal_as)
            if followed is None or followed.random_removal_as is not None:
                raise ValueError(f"{name} follows {arm.random_removal_as}, which is no arm or a control itself")
            if arm.drop_duplicates or arm.label_policy or arm.decisions:
                raise ValueError(f"{name} takes images out at random, so its other switches must be false")
        return arms
