"""Score every member, the ensembles, and what curation gains over the raw data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.progress import track
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.stages.evaluate import metrics, plots, summary
from pipeline.stages.evaluate.ensemble import at_temperature, calibrate, ensembles, joined_by_seed
from pipeline.stages.evaluate.params import EvaluateParams
from pipeline.stages.evaluate.scored import (
    Model,
    OutOfFold,
    Truth,
    headline_arm,
    resample,
    scored_images,
    split_predictions,
    truths,
)
from pipeline.stages.evaluate.subgroups import LEAST_GROUPS, attributes, score_subgroups
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.tables import Images
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.tables import Predictions

TESTS = ("test", "test_as_given")
POINTS = 200  # of each plotted curve


def run(store: Store, params: EvaluateParams) -> None:
    """Write reports/evaluate: figures, plot data and pictures."""
    described = store.read(Images, params.batches)
    diagnoses = diagnoses_in_scope(described["diagnosis"], params.classes)
    selections = {arm: store.read(Selection, arm) for arm in params.arms}
    images = scored_images(selections)
    values = attributes(images["image_id"], described, store.read(Fingerprints, params.batches))
    as_trained: dict[Model, NDArray[np.float64]] = {}
    out_of_fold: dict[Model, OutOfFold] = {}
    for model in map(Model._make, product(params.members, params.arms, params.seeds)):
        predicted = store.read(Predictions, model.instance)
        vectors = store.vectors(Predictions, "probabilities", model.instance)
        as_trained[model], folded = split_predictions(
            model, predicted, vectors, images=images, selection=selections[model.arm], diagnoses=diagnoses
        )
        if folded is not None:
            out_of_fold[model] = folded

    figures, models, curves = assess(
        as_trained, out_of_fold, truths(images, diagnoses), params, values=values, diagnoses=diagnoses
    )

    store.report("evaluate/metrics.json", figures)
    store.report("evaluate/models.csv", models)
    for name, points in curves.items():
        store.report(f"evaluate/{name}.csv", points)
    with store.output("reports/evaluate/pictures") as folder:
        plots.draw_all(folder, figures, curves, diagnoses=diagnoses, arm=headline_arm(params.arms))


def assess(
    as_trained: Mapping[Model, NDArray[np.float64]],
    out_of_fold: Mapping[Model, OutOfFold],
    truth: Mapping[str, Truth],
    params: EvaluateParams,
    *,
    values: pd.DataFrame,
    diagnoses: list[str],
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, pd.DataFrame]]:
    """Calibrate and join models, and score all of them.

    Args:
        as_trained: every model's probabilities of all images scored, (images, classes).
        out_of_fold: of models with folds, what they say of train.
        truth: the sets; what is fitted is fitted on `validation`, but stacking.
        params: of the stage.
        values: from `attributes`, of all images scored.
        diagnoses: the classes in order.

    Returns:
        the figures of metrics.json, a table of every model, and the plot data of the product by name.

    """
    calibrated = {model: calibrate(p, truth["validation"]) for model, p in as_trained.items()}
    models = {model: one.probabilities for model, one in calibrated.items()}
    folded = {
        model: replace(of, probabilities=at_temperature(of.probabilities, calibrated[model].temperature))
        for model, of in out_of_fold.items()
    }
    pools = ensembles(models, params.arms, params.ensemble, truth["validation"], folded)
    pooled = {arm: pool.probabilities for arm, pool in pools.items()}
    joined = joined_by_seed(models, truth["validation"], folded)

    sets = resample(truth, resamples=params.bootstrap, seed=params.seed)
    tests = {name: sets[name] for name in TESTS}
    score = partial(summary.score, bins=params.bins)
    scores = {model: score(p, sets) for model, p in track(models.items(), "score members", unit="networks")}
    pooled_scores = {arm: score(p, sets) for arm, p in pooled.items()}
    joined_scores = {
        model: score(pool.probabilities, {"test": sets["test"]})
        for model, pool in track(joined.items(), "score ensembles", unit="ensembles")
    }
    members, arm, confidence = summary.over_seeds(scores), headline_arm(params.arms), params.confidence
    figures = {
        "headline_arm": arm,
        "method": params.ensemble,
        "sets": summary.describe_sets(truth),
        **summary.nest(members, pooled_scores, confidence),
        "joined": summary.nest_joined(members, summary.over_seeds(joined_scores), joined, confidence),
        "classes": {
            arm: summary.score_classes(p, tests, diagnoses, confidence)
            for arm, p in track(pooled.items(), "score classes", unit="arms")
        },
        "least_groups": LEAST_GROUPS,
        "subgroups": {
            name: summary.nest_subgroups(score_subgroups(pooled[arm], sample, values), confidence)
            for name, sample in tests.items()
        },
        "calibration": summary.nest_calibration(calibrated, pools, truth["test"], bins=params.bins),
    }
    table = summary.tabulate(scores, joined_scores, pooled_scores, confidence)
    return figures, table, _curves(pooled[arm], truth["test"], diagnoses, bins=params.bins)


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
