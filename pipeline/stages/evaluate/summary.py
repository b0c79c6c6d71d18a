"""The report: nested figures for `dvc metrics`, and a table with every single model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stages.evaluate.bootstrap import Estimate, mean, two_sided_p
from pipeline.stages.evaluate.ensemble import Calibrated, Pool
from pipeline.stages.evaluate.metrics import headline, one_class
from pipeline.stages.evaluate.scored import Model, Resampled, Truth
from pipeline.stages.evaluate.subgroups import Subgroup
from pipeline.stages.rebalance.tables import BASE_ARM

Figures = Mapping[str, Estimate]  # by metric
Scores = dict[str, dict[str, Estimate]]  # by set (test, …) and metric
Probabilities = NDArray[np.float64]  # (images, classes)
CALIBRATION = ("calibration_error", "log_loss")  # what a temperature changes


def score(probabilities: Probabilities, sets: Mapping[str, Resampled], *, bins: int) -> Scores:
    """Score one model on every set."""
    metrics = partial(headline, bins=bins)
    return {name: sample.estimate(metrics, probabilities) for name, sample in sets.items()}


def score_classes(
    probabilities: Probabilities, sets: Mapping[str, Resampled], diagnoses: Sequence[str], confidence: float
) -> dict[str, Any]:
    """Score one model on each class, with the number of images that have it: by set, diagnosis and metric."""
    return {
        name: {
            diagnosis: {
                **_show(sample.estimate(partial(one_class, number=k), probabilities), confidence),
                "support": int((sample.truth.actual == k).sum()),
            }
            for k, diagnosis in enumerate(diagnoses)
        }
        for name, sample in sets.items()
    }


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
        by `<arm>_over_raw` and metric; nothing where there is no raw arm. Of calibration_error, log_loss and
        risk_coverage_area less is better.

    """
    base = by_arm.get(BASE_ARM)
    if base is None:
        return {}
    return {f"{arm}_over_{BASE_ARM}": _less(scores, base) for arm, scores in by_arm.items() if arm != BASE_ARM}


def best_member(members: Mapping[str, Mapping[str, Scores]], arm: str) -> str:
    """Name the member with the best balanced accuracy on validation, among equals the one with the least log loss.

    To choose it on test would flatter it there, and so slight the ensemble.
    """

    def quality(member: str) -> tuple[float, float]:
        figures = members[member][arm]["validation"]
        return figures["balanced_accuracy"].value, -figures["log_loss"].value

    return max(members, key=quality)


def nest(
    members: Mapping[str, Mapping[str, Scores]], pooled: Mapping[str, Scores], confidence: float
) -> dict[str, Any]:
    """Nest the figures of ensembles and members, and what curation gains each.

    Args:
        members: from `over_seeds`.
        pooled: the ensembles' scores, by arm.
        confidence: of the intervals.

    """

    def gain(by_arm: Mapping[str, Scores]) -> dict[str, Any]:
        on_test = {arm: scores["test"] for arm, scores in by_arm.items()}
        return {pair: _differences(figures, confidence) for pair, figures in gains(on_test).items()}

    ensemble = {
        arm: {name: _show(figures, confidence) for name, figures in scores.items()} for arm, scores in pooled.items()
    }
    by_pair: dict[str, Any] = {}
    for name, by_metric in {"ensemble": gain(pooled), **{m: gain(by_arm) for m, by_arm in members.items()}}.items():
        for pair, figures in by_metric.items():
            by_pair.setdefault(pair, {})[name] = figures
    shown = {
        m: {arm: {"test": _show(scores["test"], confidence)} for arm, scores in by_arm.items()}
        for m, by_arm in members.items()
    }
    return {"ensemble": ensemble, "members": shown, "gain": by_pair}


def nest_joined(
    members: Mapping[str, Mapping[str, Scores]],
    joined: Mapping[str, Mapping[str, Scores]],
    pools: Mapping[Model, Pool],
    confidence: float,
) -> dict[str, Any]:
    """Nest every way to join the members of one seed, averaged over seeds, beside the best member alone.

    Args:
        members: from `over_seeds`.
        joined: likewise, of `ensemble.joined_by_seed`.
        pools: the same, with their weights.
        confidence: of the intervals.

    Returns:
        by arm: the best member, and by name of the ensemble its figures on test, the weights of its members (none of
        stacking), and its figures less the best member's on the same resamples, negative ones too.

    """
    arms = {arm: best_member(members, arm) for by_arm in joined.values() for arm in by_arm}
    by_arm: dict[str, Any] = {arm: {"best_member": best, "ensembles": {}} for arm, best in arms.items()}
    for name, scores in joined.items():
        names = name.split("+") if "+" in name else list(members)
        for arm, best in arms.items():
            weights = [p.weights for m, p in pools.items() if (m.member, m.arm) == (name, arm) if p.weights is not None]
            shares = dict(zip(names, map(number, np.mean(weights, axis=0)), strict=True)) if weights else {}
            by_arm[arm]["ensembles"][name] = {
                "test": _show(scores[arm]["test"], confidence),
                "weights": shares,
                "over_best_member": _differences(_less(scores[arm]["test"], members[best][arm]["test"]), confidence),
            }
    return by_arm


def nest_subgroups(scored: Iterable[Subgroup], confidence: float) -> dict[str, Any]:
    """Nest subgroups by attribute and value; one with too few groups has its size alone."""
    nested: dict[str, Any] = {}
    for subgroup in scored:
        figures = {} if subgroup.figures is None else _show(subgroup.figures, confidence)
        sizes = {"images": subgroup.images, "groups": subgroup.groups}
        nested.setdefault(subgroup.attribute, {})[subgroup.value] = {**sizes, **figures}
    return nested


def nest_calibration(
    calibrated: Mapping[Model, Calibrated], pools: Mapping[str, Pool], test: Truth, *, bins: int
) -> dict[str, Any]:
    """Say what the temperatures did on test, of figures where less is better: by arm and member, and the ensemble.

    A member's figures are averaged over seeds. The ensemble's are before and after its own temperature, which is fitted
    once its members have theirs.
    """

    def figures(probabilities: Probabilities, suffix: str) -> dict[str, float]:
        found = headline(probabilities[test.rows], test.actual, np.ones((1, len(test.rows))), bins=bins)
        return {name + suffix: float(found[name][0]) for name in CALIBRATION}

    by_name: dict[tuple[str, str], list[Calibrated]] = {(arm, "ensemble"): [pool] for arm, pool in pools.items()}
    for model, one in calibrated.items():
        by_name.setdefault((model.arm, model.member), []).append(one)
    nested: dict[str, Any] = {}
    for (arm, name), runs in by_name.items():
        found = [
            {"temperature": run.temperature} | figures(run.before, "_before") | figures(run.probabilities, "")
            for run in runs
        ]
        nested.setdefault(arm, {})[name] = {key: number(float(np.mean([of[key] for of in found]))) for key in found[0]}
    return nested


def describe_sets(sets: Mapping[str, Truth]) -> dict[str, Any]:
    """Say what was scored: figures are comparable where the digests are equal."""
    return {
        name: {"images": len(truth.rows), "groups": truth.groups, "sha256": truth.sha256}
        for name, truth in sets.items()
    }


def tabulate(
    scores: Mapping[Model, Scores], joined: Mapping[Model, Scores], pooled: Mapping[str, Scores], confidence: float
) -> pd.DataFrame:
    """One row a model, set and metric: the ensembles of all seeds, every member, and the ensembles of one seed."""
    named = [("ensemble", ("ensemble", arm, ""), by_set) for arm, by_set in pooled.items()]
    for kind, models in (("member", scores), ("ensemble of one seed", joined)):
        named += [(kind, (model.member, model.arm, str(model.seed)), by_set) for model, by_set in models.items()]
    rows = [
        (kind, *names, name, metric, figure.value, *figure.interval(confidence))
        for kind, names, by_set in named
        for name, figures in by_set.items()
        for metric, figure in figures.items()
    ]
    return pd.DataFrame(rows, columns=["kind", "model", "arm", "seed", "set", "metric", "value", "low", "high"])


def number(value: float) -> float | int | None:
    """Round for the report; a figure that does not exist is null."""
    if isinstance(value, int):
        return value
    return round(float(value), 5) if np.isfinite(value) else None


def _less(figures: Figures, base: Figures) -> dict[str, Estimate]:
    return {metric: figure - base[metric] for metric, figure in figures.items()}


def _show(figures: Figures, confidence: float) -> dict[str, Any]:
    return {metric: _interval(figure, confidence) for metric, figure in figures.items()}


def _differences(figures: Figures, confidence: float) -> dict[str, Any]:
    return {m: {**_interval(d, confidence), "p": number(two_sided_p(d))} for m, d in figures.items()}


def _interval(figure: Estimate, confidence: float) -> dict[str, Any]:
    low, high = figure.interval(confidence)
    return {"value": number(figure.value), "low": number(low), "high": number(high)}
