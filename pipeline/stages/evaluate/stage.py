"""Score every member, the ensembles, and what curation gains over the raw data."""

from __future__ import annotations

from itertools import product

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.stages.evaluate import metrics, plots, summary
from pipeline.stages.evaluate.params import EvaluateParams
from pipeline.stages.evaluate.scored import Model, align, ensembles, headline_arm, scored_images, truths
from pipeline.stages.ingest.tables import Images
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.tables import Predictions

ROC_POINTS = 200  # of each class, in the plot data


def run(store: Store, params: EvaluateParams) -> None:
    """Write reports/evaluate: figures, plot data and pictures."""
    diagnoses = diagnoses_in_scope(store.read(Images, params.batches)["diagnosis"], params.classes)
    images = scored_images({arm: store.read(Selection, arm) for arm in params.arms})
    models = {}
    for model in map(Model._make, product(params.members, params.arms, params.seeds)):
        predicted = store.read(Predictions, model.instance)
        vectors = store.vectors(Predictions, "probabilities", model.instance)
        models[model] = align(model, predicted, vectors, images, len(diagnoses))

    sets = truths(images, diagnoses)
    pooled = ensembles(models, params.arms)
    scores, pooled_scores = summary.score_all(models, pooled, sets, params)
    members = summary.over_seeds(scores)
    classes = summary.class_tables(pooled, sets["test"], diagnoses)
    arm, test = headline_arm(params.arms), sets["test"]
    probabilities, actual = pooled[arm][test.rows], test.actual
    confusion = metrics.confusion_pairs(probabilities, actual, diagnoses)
    roc = metrics.roc_curves(probabilities, actual, diagnoses, points=ROC_POINTS)
    calibration = metrics.calibration_curve(probabilities, actual, bins=params.bins)

    figures = summary.nest(members, pooled_scores, classes, params.confidence)
    store.report("evaluate/metrics.json", {"headline_arm": arm, "sets": summary.describe_sets(sets), **figures})
    store.report("evaluate/models.csv", summary.tabulate(scores, pooled_scores, params.confidence))
    store.report("evaluate/confusion.csv", confusion)
    store.report("evaluate/roc.csv", roc)
    store.report("evaluate/calibration.csv", calibration)
    with store.output("reports/evaluate/pictures") as folder:
        plots.draw_all(folder, figures, confusion, roc, calibration, diagnoses=diagnoses, arm=arm)
