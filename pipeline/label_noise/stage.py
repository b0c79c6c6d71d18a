"""Find labels that are probably wrong, and pictures that belong nowhere, without looking at the answer."""

from __future__ import annotations

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.cross_fit.tables import OutOfFold
from pipeline.dedup.tables import Duplicates, Groups
from pipeline.embed.tables import Embeddings, Levels
from pipeline.ingest.tables import Images
from pipeline.label_noise.judging import judge_labels
from pipeline.label_noise.labelled import align, read_described
from pipeline.label_noise.params import LabelNoiseParams
from pipeline.label_noise.pictures import draw_sheets
from pipeline.label_noise.tables import AuditSample, LabelScores, SuspectQueue
from pipeline.opinions.tables import Opinions


def run(store: Store, params: LabelNoiseParams) -> None:
    """Write LabelScores, the queue and the audit's sample, and reports, over all batches."""
    images = store.read(Images, params.batches).sort_values("image_id")
    labelled = align(
        images,
        store.read(Embeddings, params.batches),
        vectors=store.vectors(Embeddings, "vector", params.batches),
        levels=read_described(store, Levels, params.batches),
        opinions=read_described(store, Opinions, params.batches),
        out_of_fold=(store.read(OutOfFold), store.vectors(OutOfFold, "probabilities")),
        groups=store.read(Groups),
        duplicates=store.read(Duplicates),
        classes=diagnoses_in_scope(images["diagnosis"], params.classes),
        context=params.context,
    )

    found = judge_labels(labelled, params)

    store.write(LabelScores, found.scores, vectors={"probabilities": found.probabilities})
    store.write(SuspectQueue, found.queue)
    store.write(AuditSample, found.audit)
    store.report("label_noise/summary.json", found.summary)
    pixels = store.pixels(images[images["image_id"].isin(found.scores["image_id"])])
    with store.output("reports/label_noise/pictures") as folder:
        folder.mkdir()
        for name, content in draw_sheets(found.scores, pixels, count=params.pictures).items():
            (folder / name).write_bytes(content)
