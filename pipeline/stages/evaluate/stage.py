"""Score every member, the ensembles, and what curation gains over the raw data."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.stages.evaluate import metrics, plots, summary
from pipeline.stages.evaluate.ensemble import calibrate, ensembles, joined_by_seed
from pipeline.stages.evaluate.params import EvaluateParams
from pipeline.stages.evaluate.scored import Model, Truth, align, headline_arm, resample, scored_images, truths
from pipeline.stages.evaluate.subgroups import LEAST_GROUPS, attributes, score_subgroups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.tables import Predictions

POINTS = 200  # of each plotted curve


def run(store: Store, params: EvaluateParams) -> None:
    """Write reports/evaluate: figures, plot data and pictures."""
    described = store.read(Images, params.batches)
    diagnoses = diagnoses_in_scope(described["diagnosis"], params.classes)
    images = scored_images({arm: store.read(Selection, arm) for arm in params.arms})
    as_trained = {}
    for model in map(Model._make, product(params.members, params.arms, params.seeds)):
        predicted = store.read(Predictions, model.instance)
        vectors = store.vectors(Predictions, "probabilities", model.instance)
        as_trained[model] = align(model, predicted, vectors, images, len(diagnoses))

    truth, arm = truths(images, diagnoses), headline_arm(params.arms)
    calibrated = {model: calibrate(p, truth["validation"]) for model, p in as_trained.items()}
    models = {model: one.probabilities for model, one in calibrated.items()}
    pools = ensembles(models, params.arms, params.ensemble, truth["validation"])
    pooled = {arm: pool.probabilities for arm, pool in pools.items()}

    sets = resample(truth, resamples=params.bootstrap, seed=params.seed)
    scores = {model: summary.score(p, sets, bins=params.bins) for model, p in models.items()}
    pooled_scores = {arm: summary.score(p, sets, bins=params.bins) for arm, p in pooled.items()}
    joined = joined_by_seed(models, truth["validation"])
    on_test = {"test": sets["test"]}
    joined_scores = {m: summary.score(pool.probabilities, on_test, bins=params.bins) for m, pool in joined.items()}
    members, confidence = summary.over_seeds(scores), params.confidence
    tests = {"test": sets["test"], "test_as_given": sets["test_as_given"]}
    values = attributes(described.set_index("image_id").loc[images["image_id"]].reset_index())
    figures = {
        "headline_arm": arm,
        "method": params.ensemble,
        "sets": summary.describe_sets(truth),
        **summary.nest(members, pooled_scores, confidence),
        "joined": summary.nest_joined(members, summary.over_seeds(joined_scores), joined, confidence),
        "classes": {arm: summary.score_classes(p, tests, diagnoses, confidence) for arm, p in pooled.items()},
        "least_groups": LEAST_GROUPS,
        "subgroups": {
            name: summary.nest_subgroups(score_subgroups(pooled[arm], sample, values), confidence)
            for name, sample in tests.items()
        },
        "calibration": summary.nest_calibration(as_trained, calibrated, truth["test"], bins=params.bins),
    }
    curves = _curves(pooled[arm], truth["test"], diagnoses, bins=params.bins)
    store.report("evaluate/metrics.json", figures)
    store.report("evaluate/models.csv", summary.tabulate(scores, joined_scores, pooled_scores, confidence))
    for name, points in curves.items():
        store.report(f"evaluate/{name}.csv", points)
    with store.output("reports/evaluate/pictures") as folder:
        plots.draw_all(folder, figures, curves, diagnoses=diagnoses, arm=arm)


def _curves(
    probabilities: NDArray[np.float64], test: Truth, diagnoses: list[str], *, bins: int
) -> dict[str, pd.DataFrame]:
    """Plot data of one ensemble on test, by name."""
    scored, actual = probabilities[test.rows], test.actual
    return {
        "confusion": metrics.confusion_pairs(scored, actual, diagnoses),
        "roc": metrics.roc_curves(scored, actual, diagnoses, points=POINTS),
        "calibration": metrics.calibration_curve(scored, actual, bins=bins),
        "risk_coverage": metrics.risk_coverage_curve(scored, actual, points=POINTS),
    }
