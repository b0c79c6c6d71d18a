"""All that the stage makes of its images, without a file: what it writes, and what the benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.stages.label_noise.audit import sample_labels
from pipeline.stages.label_noise.findings import summarise, tabulate
from pipeline.stages.label_noise.labelled import Array, Labelled
from pipeline.stages.label_noise.neighbours import nearest_in_train
from pipeline.stages.label_noise.off_topic import off_topic
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.probabilities import believe
from pipeline.stages.label_noise.queue import line_up
from pipeline.stages.label_noise.reasons import reasons
from pipeline.stages.label_noise.suspects import judge, rivals


@dataclass(frozen=True)
class Judged:
    """What the stage writes.

    scores: the table LabelScores, all but its probabilities.
    probabilities: (n, classes).
    queue: the table SuspectQueue.
    audit: the table AuditSample.
    summary: for reports/label_noise/summary.json.
    """

    scores: pd.DataFrame
    probabilities: Array
    queue: pd.DataFrame
    audit: pd.DataFrame
    summary: dict[str, Any]


def judge_labels(labelled: Labelled, params: LabelNoiseParams) -> Judged:
    """Judge every label.

    Raises:
        UserError: train holds fewer than two groups.

    """
    beliefs, rival = believe(labelled, params.probe, params.noise), rivals(labelled)
    judgement = judge(labelled, beliefs, rival, method=params.method, floor=params.conflict_error_probability)
    neighbours, _ = nearest_in_train(labelled, beliefs.near, params.examples)
    scores = tabulate(
        labelled,
        beliefs,
        judgement,
        rival=rival,
        reason=reasons(labelled, judgement, judged=beliefs.judged, rival=rival, neighbours=neighbours),
        off_topic=off_topic(labelled, params.off_topic),
        threshold=params.min_error_probability,
        examples=params.examples,
    )
    queue = line_up(scores, labelled, params.queue)
    summary = summarise(labelled, beliefs, scores, rival=rival, queue=queue, params=params)
    return Judged(scores, judgement.probabilities, queue, sample_labels(scores, labelled, params.audit), summary)
