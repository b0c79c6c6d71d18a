"""Find labels that are probably wrong, and pictures that belong nowhere, without looking at the answer."""

from __future__ import annotations

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.dedup.tables import Duplicates, Groups
from pipeline.embed.tables import Embeddings
from pipeline.ingest.tables import Images
from pipeline.label_noise.audit import sample_labels
from pipeline.label_noise.findings import summarise, tabulate
from pipeline.label_noise.labelled import align
from pipeline.label_noise.neighbours import nearest_in_train, radius_in_train
from pipeline.label_noise.off_topic import off_topic
from pipeline.label_noise.params import LabelNoiseParams
from pipeline.label_noise.pictures import draw_sheets
from pipeline.label_noise.probabilities import believe
from pipeline.label_noise.queue import line_up
from pipeline.label_noise.reasons import reasons
from pipeline.label_noise.suspects import judge, rivals
from pipeline.label_noise.tables import AuditSample, LabelScores, SuspectQueue


def run(store: Store, params: LabelNoiseParams) -> None:
    """Write LabelScores and its reports, over all batches."""
    images = store.read(Images, params.batches).sort_values("image_id")
    labelled = align(
        images,
        store.read(Embeddings, params.batches),
        vectors=store.vectors(Embeddings, "vector", params.batches),
        groups=store.read(Groups),
        duplicates=store.read(Duplicates),
        classes=diagnoses_in_scope(images["diagnosis"], params.classes),
        context=params.context,
    )
    beliefs, rival = believe(labelled, params.probe, params.noise), rivals(labelled)
    judgement = judge(labelled, beliefs, rival, method=params.method, floor=params.conflict_error_probability)
    neighbours, _ = nearest_in_train(labelled, params.examples)
    radius = radius_in_train(labelled, params.off_topic_share)

    scores = tabulate(
        labelled,
        beliefs,
        judgement,
        rival=rival,
        reason=reasons(labelled, judgement, judged=beliefs.judged, rival=rival, neighbours=neighbours),
        off_topic=off_topic(radius, radius[labelled.voter]),
        threshold=params.min_error_probability,
        examples=params.examples,
    )
    store.write(LabelScores, scores, vectors={"probabilities": judgement.probabilities})
    store.write(SuspectQueue, queue := line_up(scores, labelled, params.queue))
    store.write(AuditSample, sample_labels(scores, labelled, params.audit))
    store.report(
        "label_noise/summary.json", summarise(labelled, beliefs, scores, rival=rival, queue=queue, params=params)
    )
    pixels = store.pixels(images[images["image_id"].isin(scores["image_id"])])
    with store.output("reports/label_noise/pictures") as folder:
        folder.mkdir()
        for name, content in draw_sheets(scores, pixels, count=params.pictures).items():
            (folder / name).write_bytes(content)
