"""The table and the numbers that the stage reports."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues

from pipeline.core.grouping import SPLITS
from pipeline.stages.label_noise.consensus import crowdlab
from pipeline.stages.label_noise.labelled import Array, Labelled
from pipeline.stages.label_noise.neighbours import nearest_of_class
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.probabilities import Beliefs
from pipeline.stages.label_noise.suspects import NOBODY, Judgement, ambiguity, cleanlab_score


def tabulate(
    labelled: Labelled,
    beliefs: Beliefs,
    judgement: Judgement,
    *,
    rival: Array,
    reason: list[str],
    off_topic: Array,
    threshold: float,
    examples: int,
) -> pd.DataFrame:
    """Fill the table LabelScores, all but its probabilities."""
    suspect = (judgement.error_probability >= threshold) | (rival != NOBODY)
    shown = np.flatnonzero(labelled.voter & ~suspect)  # an example must not be in doubt itself
    nearest = {
        name: [
            labelled.image_id[found].tolist()
            for found in nearest_of_class(
                beliefs.near,
                wanted,
                group=labelled.group,
                references=shown,
                reference_class=labelled.given[shown],
                count=examples,
            )
        ]
        for name, wanted in (("nearest_given", labelled.given), ("nearest_suggested", judgement.suggested))
    }
    return pd.DataFrame(
        {
            "image_id": labelled.image_id,
            "given": labelled.names(labelled.given),
            "suggested": labelled.names(judgement.suggested),
            "self_confidence": cleanlab_score(labelled.given, beliefs.plain, method="self_confidence"),
            "normalized_margin": cleanlab_score(labelled.given, beliefs.plain, method="normalized_margin"),
            "crowdlab": crowdlab(labelled, beliefs.plain),
            "error_probability": judgement.error_probability,
            "suspect": suspect,
            "reason": reason,
            "off_topic": off_topic,
            "ambiguous": ambiguity(judgement.probabilities),
            **nearest,
        }
    )


def summarise(
    labelled: Labelled,
    beliefs: Beliefs,
    scores: pd.DataFrame,
    *,
    rival: Array,
    queue: pd.DataFrame,
    params: LabelNoiseParams,
) -> dict[str, Any]:
    """Count suspects by split and diagnosis, and say what was estimated."""
    suspects = {
        split: {
            name: int((scores["suspect"] & (labelled.split == split) & (scores["given"] == name)).sum())
            for name in labelled.classes
        }
        for split in SPLITS
    }
    errors = scores["error_probability"]
    return {
        "method": params.method,
        "min_error_probability": params.min_error_probability,
        "images": len(scores),
        "not_judged": int((~beliefs.judged).sum()),
        "suspects": int(scores["suspect"].sum()),
        "suspects_by_split_and_diagnosis": suspects,
        "label_conflicts": int((rival != NOBODY).sum()),
        "cleanlab_issues": count_cleanlab_issues(labelled.given, beliefs.plain),
        "mean_error_probability": round(float(errors.mean()), 6),
        "estimated_errors": round(float(errors.sum()), 2),
        "estimated_errors_by_split": {
            split: round(float(errors[labelled.split == split].sum()), 2) for split in SPLITS
        },
        "queue_minutes": round(float(queue["minutes_so_far"].max() if len(queue) else 0.0), 1),
        "queue_errors_expected": round(float(queue["error_probability"].sum()), 2),
        "share_labelled_in_haste": round(beliefs.haste.share, 6),
        "components_seen_at_a_glance": beliefs.haste.components,
        "noise_matrix_given_by_true": {
            true: dict(zip(labelled.classes, np.round(row, 6).tolist(), strict=True))
            for true, row in zip(labelled.classes, beliefs.noise, strict=True)
        },
    }


def count_cleanlab_issues(given: Array, probabilities: Array) -> int:
    """Count what cleanlab's `find_label_issues` flags by default, for comparison."""
    present, labels = np.unique(given, return_inverse=True)
    if len(present) == 1:
        return 0
    kept = probabilities[:, present] + 1e-12  # a row may be certain of a class that no image carries
    with warnings.catch_warnings():  # a class so rare that cleanlab expects none of it: it says so, and flags none
        warnings.simplefilter("ignore", UserWarning)
        issues = find_label_issues(labels, kept / kept.sum(axis=1, keepdims=True), n_jobs=1)
    return int(np.sum(issues))
