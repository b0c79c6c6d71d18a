"""Find labels that are probably wrong, and pictures that belong nowhere, without looking at the answer."""

from __future__ import annotations

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.label_noise.judging import judge_labels
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.pictures import draw_sheets
from pipeline.stages.label_noise.reading import read_labelled
from pipeline.stages.label_noise.tables import AuditSample, LabelScores, SuspectQueue


def run(store: Store, params: LabelNoiseParams) -> None:
    """Write LabelScores, the queue and the audit's sample, and reports, over all batches."""
    images = store.read(Images, params.batches).sort_values("image_id")
    labelled = read_labelled(
        store,
        images,
        params.batches,
        groups=store.read(Groups),
        classes=diagnoses_in_scope(images["diagnosis"], params.classes),
        encoders=params.encoders,
        context=params.context,
    )

    found = judge_labels(labelled, params)

    store.write(LabelScores, found.scores, vectors={"probabilities": found.probabilities})
    store.write(SuspectQueue, found.queue)
    store.write(AuditSample, found.audit)
    store.report("label_noise/summary.json", found.summary)
    pixels = open_pixels(store, images[images["image_id"].isin(found.scores["image_id"])])
    with store.output("reports/label_noise/pictures") as folder:
        folder.mkdir()
        for name, content in draw_sheets(found.scores, pixels, count=params.pictures).items():
            (folder / name).write_bytes(content)
