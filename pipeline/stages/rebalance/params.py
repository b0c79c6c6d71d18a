"""What `rebalance` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes


class Arm(Section):
    """One way to build the training set.

    drop_duplicates: leave copies out.
    label_policy: what happens to a train label that is in doubt, without a person: nothing (`none`), it is left out or
        counts less (`drop`), every label counts as it is probable (`weigh`), it is shared out over the diagnoses as the
        judge finds them probable (`soft`), or the suggestion takes its place (`relabel`).
    decisions: apply the stewards' decisions to train.
    random_removal_as: take out as many train images of each class, at random, as that arm does (the control).
    """

    drop_duplicates: bool
    label_policy: Literal["none", "drop", "weigh", "soft", "relabel"]
    decisions: bool
    random_removal_as: str | None


class LabelPolicy(Section):
    """From where on an arm's `label_policy` acts: at or above the thresholds, and nowhere else.

    exclude_min_error_probability: `drop` leaves an image out.
    downweight_min_error_probability: `drop` lets an image count less.
    downweight_to: as so much of an image; also one of which a steward is not sure.
    soften_min_error_probability: `soft` shares a label out.
    relabel_min_probability: of the suggested diagnosis, from which `relabel` takes it.
    exclude_min_off_topic: probability to show no skin, from which every policy leaves an image out.
    """

    exclude_min_error_probability: float
    downweight_min_error_probability: float
    downweight_to: float = Field(gt=0, le=1)
    soften_min_error_probability: float
    relabel_min_probability: float
    exclude_min_off_topic: float


class Balance(Section):
    """How rare classes are balanced.

    policy: weights in the loss (`class_weights`, `effective_number`), or how often images are drawn.
    beta: of `effective_number` (Cui et al. 2019).
    max_ratio: bound of the largest weight, or number of draws, to the smallest.
    """

    policy: Literal["none", "class_weights", "effective_number", "oversample", "undersample", "square_root"]
    beta: float = Field(gt=0, lt=1)
    max_ratio: float = Field(ge=1)


class RebalanceParams(StageParams):
    """Params of every arm: all definitions, because a control needs those of the arm it follows."""

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "arms": "rebalance.arms",
        "label_policy": "rebalance.label_policy",
        "balance": "rebalance.balance",
        "seed": "seed",
    }

    batches: list[str]
    classes: Classes
    arms: dict[str, Arm]
    label_policy: LabelPolicy
    balance: Balance
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
            if arm.drop_duplicates or arm.label_policy != "none" or arm.decisions:
                raise ValueError(
                    f"{name} takes images out at random, so its other switches must be false, its label_policy none"
                )
        return arms
