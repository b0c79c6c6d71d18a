"""What `rebalance` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.core.params import Section, StageParams
from pipeline.core.taxonomy import Classes
from pipeline.dedup.params import Split


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
    downweight_to: float
    exclude_min_off_topic: float


class Weights(Section):
    """Class weights: `inverse` frequency, `effective_number` (Cui et al. 2019) with `beta`, or `none`; capped at `max_ratio`."""

    scheme: Literal["none", "inverse", "effective_number"]
    beta: float
    max_ratio: float


class RebalanceParams(StageParams):
    """Params of every arm: all definitions, because a control needs those of the arm it follows."""

    keys: ClassVar = {
        "batches": "batches",
        "classes": "classes",
        "split": "split",
        "arms": "rebalance.arms",
        "label_policy": "rebalance.label_policy",
        "weights": "rebalance.weights",
        "seed": "rebalance.seed",
    }

    batches: list[str]
    classes: Classes
    split: Split
    arms: dict[str, Arm]
    label_policy: LabelPolicy
    weights: Weights
    seed: int
