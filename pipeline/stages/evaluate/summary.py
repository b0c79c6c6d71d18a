"""The report: nested figures for `dvc metrics`, and a table with every single model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stages.evaluate.bootstrap import Estimate, draw_groups, estimate, mean, two_sided_p
from pipeline.stages.evaluate.metrics import headline, per_class
from pipeline.stages.evaluate.params import EvaluateParams
from pipeline.stages.evaluate.scored import Model, Truth
from pipeline.stages.rebalance.tables import BASE_ARM

Figures = Mapping[str, Estimate]  # by metric
Scores = dict[str, dict[str, Estimate]]  # by set (test, …) and metric


def score_all(
    models: Mapping[Model, NDArray[np.float64]],
    pooled: Mapping[str, NDArray[np.float64]],
    sets: Mapping[str, Truth],
    params: EvaluateParams,
) -> tuple[dict[Model, Scores], dict[str, Scores]]:
    """Score every model, and every arm's ensemble, on every set; all on the same resamples of a set."""
    draws = {}
    for name, truth in sets.items():
        rng = np.random.default_rng(params.seed)  # the same for each set: its figures do not depend on the others
        draws[name] = draw_groups(truth.groups, params.bootstrap, rng)

    def score(probabilities: NDArray[np.float64]) -> Scores:
        scores = {}
        for name, truth in sets.items():
            figures = partial(headline, probabilities[truth.rows], truth.actual, bins=params.bins)
            scores[name] = estimate(figures, truth.group_of, draws[name])
        return scores

    return {model: score(p) for model, p in models.items()}, {arm: score(p) for arm, p in pooled.items()}


def over_seeds(scores: Mapping[Model, Scores]) -> dict[str, dict[str, Scores]]:
    """Average each member's figures over seeds: by member, arm, set and metric."""
    by_member: dict[str, dict[str, Scores]] = {}
    for member, arm in dict.fromkeys((model.member, model.arm) for model in scores):
        runs = [s for model, s in scores.items() if (model.member, model.arm) == (member, arm)]
        by_member.setdefault(member, {})[arm] = {
            name: {metric: mean([run[name][metric] for run in runs]) for metric in runs[0][name]} for name in runs[0]
        }
    return by_member


def gains(by_arm: Mapping[str, Figures]) -> dict[str, dict[str, Estimate]]:
    """Subtract the raw arm from every other one, on the same images and the same resamples of their groups.

    The interval tells how far the figure depends on which patients and lesions happened to be in the test set; what
    depends on the training's own randomness shows in the spread over seeds.

    Returns:
        by `<arm>_over_raw` and metric; nothing where there is no raw arm. Of calibration_error and log_loss less is
        better.

    """
    base = by_arm.get(BASE_ARM)
    if base is None:
        return {}
    return {
        f"{arm}_over_{BASE_ARM}": {metric: scores[metric] - base[metric] for metric in scores}
        for arm, scores in by_arm.items()
        if arm != BASE_ARM
    }


def nest(
    members: Mapping[str, Mapping[str, Scores]],
    pooled: Mapping[str, Scores],
    classes: Mapping[str, pd.DataFrame],
    confidence: float,
) -> dict[str, Any]:
    """Nest all figures by what was scored: ensemble, members, gain.

    Args:
        members: from `over_seeds`.
        pooled: the ensembles' scores, by arm.
        classes: `per_class` of each arm's ensemble on test.
        confidence: of the intervals.

    """

    def show(figures: Mapping[str, Estimate]) -> dict[str, Any]:
        return {metric: _interval(figure, confidence) for metric, figure in figures.items()}

    def gain(by_arm: Mapping[str, Scores]) -> dict[str, Any]:
        on_test = {arm: scores["test"] for arm, scores in by_arm.items()}
        return {
            pair: {m: {**_interval(d, confidence), "p": number(two_sided_p(d))} for m, d in figures.items()}
            for pair, figures in gains(on_test).items()
        }

    ensemble = {arm: {name: show(figures) for name, figures in scores.items()} for arm, scores in pooled.items()}
    for arm, frame in classes.items():
        rows = frame.set_index("diagnosis").to_dict("index")
        ensemble[arm]["per_class"] = {str(k): {c: number(v) for c, v in row.items()} for k, row in rows.items()}
    by_pair: dict[str, Any] = {}
    for name, by_metric in {"ensemble": gain(pooled), **{m: gain(by_arm) for m, by_arm in members.items()}}.items():
        for pair, figures in by_metric.items():
            by_pair.setdefault(pair, {})[name] = figures
    shown = {
        m: {arm: {"test": show(scores["test"])} for arm, scores in by_arm.items()} for m, by_arm in members.items()
    }
    return {"ensemble": ensemble, "members": shown, "gain": by_pair}


def describe_sets(sets: Mapping[str, Truth]) -> dict[str, Any]:
    """Say what was scored: figures are comparable where the digests are equal."""
    return {
        name: {"images": len(truth.rows), "groups": truth.groups, "sha256": truth.sha256}
        for name, truth in sets.items()
    }


def tabulate(scores: Mapping[Model, Scores], pooled: Mapping[str, Scores], confidence: float) -> pd.DataFrame:
    """One row a model, set and metric; the ensemble has no seed."""
    named = [(("ensemble", arm, ""), by_set) for arm, by_set in pooled.items()]
    named += [((model.member, model.arm, str(model.seed)), by_set) for model, by_set in scores.items()]
    rows = [
        (*names, name, metric, figure.value, *figure.interval(confidence))
        for names, by_set in named
        for name, figures in by_set.items()
        for metric, figure in figures.items()
    ]
    return pd.DataFrame(rows, columns=["model", "arm", "seed", "set", "metric", "value", "low", "high"])


def class_tables(
    pooled: Mapping[str, NDArray[np.float64]], truth: Truth, diagnoses: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Score each class for each arm's ensemble."""
    return {arm: per_class(p[truth.rows], truth.actual, list(diagnoses)) for arm, p in pooled.items()}


def number(value: float) -> float | int | None:
    """Round for the report; a figure that does not exist is null."""
    if isinstance(value, int):
        return value
    return round(float(value), 5) if np.isfinite(value) else None


def _interval(figure: Estimate, confidence: float) -> dict[str, Any]:
    low, high = figure.interval(confidence)
    return {"value": number(figure.value), "low": number(low), "high": number(high)}
