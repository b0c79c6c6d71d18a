"""Find labels that are probably wrong, and images that belong nowhere, without looking at the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.label_noise.audit_sample import sample_labels
from pipeline.stages.label_noise.cross_validation import cross_val_predict
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.outliers import queue_off_topic, score_off_topic
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.reading import read_labelled
from pipeline.stages.label_noise.report import draw_contact_sheets, summarise
from pipeline.stages.label_noise.review_queue import rank_suspects
from pipeline.stages.label_noise.scores import conflicting_copies, score_labels, tabulate_scores
from pipeline.stages.label_noise.tables import AuditSample, LabelScores, OffTopicQueue, SuspectQueue


def run(store: Store, params: LabelNoiseParams) -> None:
    """Write LabelScores, the queue and the audit's sample, and reports, over all batches."""
    images = store.read(Images, params.batches).sort_values("image_id")
    dataset = read_labelled(
        store,
        images,
        params.batches,
        groups=store.read(Groups),
        classes=diagnoses_in_scope(images["diagnosis"], params.classes),
        encoders=params.encoders,
        context=params.context,
    )

    errors = find_label_errors(dataset, params)

    store.write(
        LabelScores, errors.scores, vectors={"probabilities": errors.probabilities, "posterior": errors.posterior}
    )
    store.write(SuspectQueue, errors.queue)
    store.write(OffTopicQueue, queue_off_topic(errors.scores["off_topic"].to_numpy(), dataset, params))
    store.write(AuditSample, errors.audit)
    store.report("label_noise/summary.json", errors.summary)
    pixels = open_pixels(store, images[images["image_id"].isin(errors.scores["image_id"])])
    with store.output("reports/label_noise/pictures") as folder:
        folder.mkdir()
        for name, content in draw_contact_sheets(errors.scores, pixels, count=params.report_images).items():
            (folder / name).write_bytes(content)


@dataclass(frozen=True)
class LabelErrors:
    """What the stage writes.

    scores: the table LabelScores, all but its vectors.
    probabilities: (n, classes) what each image shows.
    posterior: (n, classes) the same with the given labels taken into account.
    queue: the table SuspectQueue.
    audit: the table AuditSample.
    summary: for reports/label_noise/summary.json.
    """

    scores: pd.DataFrame
    probabilities: NDArray[np.float64]
    posterior: NDArray[np.float64]
    queue: pd.DataFrame
    audit: pd.DataFrame
    summary: dict[str, Any]


def find_label_errors(dataset: Dataset, params: LabelNoiseParams) -> LabelErrors:
    """Do all that the stage does, without a file.

    Raises:
        UserError: train holds fewer than two groups.

    """
    off_topic = score_off_topic(dataset)
    predictions = cross_val_predict(dataset, params)
    conflicting = conflicting_copies(dataset)
    scored = score_labels(
        dataset,
        predictions,
        conflicting,
        method=params.method,
        conflict_error_probability=params.conflict_error_probability,
    )
    scores = tabulate_scores(dataset, predictions, scored, conflicting=conflicting, off_topic=off_topic, params=params)
    queue = rank_suspects(scores, dataset, params.queue, sure_off_topic=params.exclude_min_off_topic)
    audit = sample_labels(scores, dataset, params.audit)
    summary = summarise(dataset, predictions, scores, conflicting=conflicting, queue=queue, params=params)
    return LabelErrors(scores, scored.probabilities, scored.posterior, queue, audit, summary)
