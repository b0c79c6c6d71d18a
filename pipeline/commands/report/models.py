"""Members, ensembles and what curation gains, as plots beside their figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.commands.report.plots import Estimate, Plot, curves, intervals
from pipeline.commands.report.run import Run
from pipeline.commands.report.summary import words_of

COMPARED = {"balanced_accuracy": "balanced accuracy", "macro_auroc": "macro AUROC"}
OF_CLASSES = {"recall": "recall", "sensitivity_at_90_specificity": "sensitivity at 90% specificity"}


def plots(run: Run) -> list[Plot]:
    """Draw what `evaluate` measured on the test set."""
    metrics = run.metrics
    drawn = [_models(metrics, name) for name in COMPARED]
    drawn += [*_gains(metrics), *_joined(metrics, run.arm), *_classes(metrics, run.arm)]
    return [plot for plot in drawn if any(trace["x"] for trace in plot.traces)]


def curves_of(run: Run) -> list[Plot]:
    """Draw the curves of the product's ensemble on test."""
    roc = _read(run, "roc")
    lines = {words_of(str(name)): _xy(part, *part.columns[:2]) for name, part in roc.groupby("diagnosis", sort=True)}
    calibration, risk = _read(run, "calibration"), _read(run, "risk_coverage")
    least = ", ".join(f"{count:,}" for count in calibration["count"])
    drawn = [
        curves(
            "roc",
            "ROC, each diagnosis against the rest",
            lines,
            axes=("false positive rate", "true positive rate"),
            diagonal=True,
        ),
        curves(
            "calibration",
            "Calibration: how often the surest guess is right",
            {"ensemble": _xy(calibration, "confidence", "accuracy")},
            axes=("confidence", "accuracy"),
            note=f"On the dotted line the network is as sure as it is right. Images in the bins: {least}.",
            diagonal=True,
            markers=True,
        ),
        curves(
            "risk",
            "Risk and coverage: errors among the surest images",
            {"ensemble": _xy(risk, "coverage", "risk")},
            axes=("coverage", "risk"),
            note="Coverage: the share of images that are answered, the surest first; risk: the errors among them.",
        ),
    ]
    return [plot for plot in drawn if any(len(trace["x"]) for trace in plot.traces if trace.get("name"))]


def confusion(run: Run) -> tuple[list[str], list[tuple[str, list[tuple[int, float]]]]]:
    """Count predicted diagnoses by actual one, and their share of it: heads, and rows."""
    pairs = _read(run, "confusion")
    counts = pd.crosstab(pairs["actual"], pairs["predicted"]).reindex(
        index=run.diagnoses, columns=run.diagnoses, fill_value=0
    )
    rows = []
    for name, row in counts.iterrows():
        total = max(1, int(row.sum()))
        rows.append((words_of(str(name)), [(int(count), int(count) / total) for count in row]))
    return [words_of(name) for name in run.diagnoses], rows


def _models(metrics: Mapping[str, Any], metric: str) -> Plot:
    models = {"ensemble": metrics["ensemble"], **metrics["members"]}
    series = {
        arm: [_estimate(words_of(model), of[arm]["test"].get(metric)) for model, of in models.items()]
        for arm in metrics["ensemble"]
    }
    title = f"{COMPARED[metric].capitalize()} on the test set, by arm"
    title = title.replace("auroc", "AUROC")
    return intervals(f"models-{metric}", title, series, axis=COMPARED[metric])


def _gains(metrics: Mapping[str, Any]) -> list[Plot]:
    series = {
        words_of(pair): [_estimate(words_of(model), of.get("balanced_accuracy")) for model, of in models.items()]
        for pair, models in metrics["gain"].items()
    }
    title, axis = "What curation gains over the raw data", "difference in balanced accuracy"
    note = "An interval that holds zero may be chance."
    return [intervals("gain", title, series, axis=axis, note=note, zero=True)] if series else []


def _joined(metrics: Mapping[str, Any], arm: str) -> list[Plot]:
    joined = metrics.get("joined", {}).get(arm)
    if not joined:
        return []
    best = words_of(joined["best_member"])
    rows = [
        _estimate(words_of(name).replace("+", " + "), of["over_best_member"]["balanced_accuracy"])
        for name, of in joined["ensembles"].items()
    ]
    title, axis = f"What an ensemble gains over {best}, the best member", "difference in balanced accuracy"
    return [intervals("joined", title, {arm: rows}, axis=axis, zero=True)]


def _classes(metrics: Mapping[str, Any], arm: str) -> list[Plot]:
    classes = metrics.get("classes", {}).get(arm, {}).get("test", {})
    series = {
        words: [_estimate(f"{words_of(name)} ({of['support']})", of.get(metric)) for name, of in classes.items()]
        for metric, words in OF_CLASSES.items()
    }
    note = "In brackets the images of the test set that have the diagnosis."
    title = "Diagnoses on the test set, by the ensemble"
    return [intervals("classes", title, series, axis="share", note=note)] if classes else []


def _estimate(name: str, figure: Mapping[str, float | None] | None) -> Estimate:
    known = figure or {}
    return name, known.get("value"), known.get("low"), known.get("high")


def _xy(frame: pd.DataFrame, x: str, y: str) -> tuple[list[float], list[float]]:
    return frame[x].tolist(), frame[y].tolist()


def _read(run: Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.store.input(f"reports/evaluate/{name}.csv"))
