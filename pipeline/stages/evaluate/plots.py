"""Charts of the report, the same bytes from the same figures.

Colours are Okabe and Ito's, which people with colour-blindness can tell apart; lines differ in their dashes as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
INCHES = 5.2
METRICS = {"balanced_accuracy": "balanced accuracy", "macro_auroc": "macro AUROC"}


def draw_all(
    folder: Path,
    figures: Mapping[str, Any],
    curves: Mapping[str, pd.DataFrame],
    *,
    diagnoses: list[str],
    arm: str,
) -> None:
    """Draw everything into a new folder.

    Args:
        folder: does not exist yet.
        figures: the report.
        curves: by name the plot data, as `metrics` makes it.
        diagnoses: the classes in order.
        arm: whose ensemble the curves show.

    """
    folder.mkdir()
    subject = f"{arm} ensemble, test"
    charts = {
        "confusion": draw_confusion(curves["confusion"], diagnoses, subject),
        "roc": draw_roc(curves["roc"], figures["classes"][arm]["test"], subject),
        "calibration": draw_calibration(curves["calibration"], subject),
        "risk_coverage": draw_risk_coverage(curves["risk_coverage"], figures["ensemble"][arm]["test"], subject),
        "arms": draw_arms(figures),
    }
    for name, figure in charts.items():
        FigureCanvasAgg(figure).print_png(folder / f"{name}.png", metadata={"Software": None})


def draw_confusion(confusion: pd.DataFrame, diagnoses: list[str], subject: str) -> Figure:
    """Colour by share of the actual class; numbers are images."""
    counts = pd.crosstab(confusion["actual"], confusion["predicted"])
    matrix = counts.reindex(index=diagnoses, columns=diagnoses, fill_value=0).to_numpy()
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    size = max(INCHES, 0.62 * len(diagnoses) + 2)
    figure = Figure((size, size), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        tint = "black" if shares[row, column] > 0.5 else "white"  # noqa: PLR2004 - the middle of the scale
        axes.text(column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=tint, fontsize=8)
    axes.set_xticks(range(len(diagnoses)), diagnoses, rotation=45, ha="right")
    axes.set_yticks(range(len(diagnoses)), diagnoses)
    axes.set(xlabel="predicted", ylabel="actual", title=f"Confusion: {subject}")
    figure.colorbar(image, ax=axes, shrink=0.75, label="share of the actual class")
    return figure


def draw_roc(roc: pd.DataFrame, classes: Mapping[str, Any], subject: str) -> Figure:
    """One curve a diagnosis, its area in the legend."""
    figure = Figure((INCHES * 1.2, INCHES), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    for (diagnosis, curve), style in zip(roc.groupby("diagnosis"), _styles(), strict=False):
        label = f"{diagnosis} ({classes[str(diagnosis)]['auroc']['value']:.3f})"
        axes.plot(curve["false_positive_rate"].to_numpy(), curve["true_positive_rate"].to_numpy(), label=label, **style)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=f"ROC, one versus rest: {subject}")
    axes.set_aspect("equal")
    if len(roc):  # of a single diagnosis there is no curve
        axes.legend(title="diagnosis (AUROC)", loc="lower right", fontsize=8)
    return figure


def draw_calibration(calibration: pd.DataFrame, subject: str) -> Figure:
    """Accuracy over confidence, with the number of images below."""
    figure = Figure((INCHES, INCHES * 1.2), layout="constrained", dpi=120)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    confidence = calibration["confidence"].to_numpy()
    top.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfect")
    top.plot(confidence, calibration["accuracy"].to_numpy(), marker="o", color=COLOURS[0], label="measured")
    top.set(ylabel="accuracy", ylim=(0, 1.02), title=f"Calibration: {subject}")
    top.legend(loc="upper left")
    bottom.bar(confidence, calibration["count"].to_numpy(), width=0.03, color=COLOURS[0])
    bottom.set(xlabel="confidence (top probability)", ylabel="images", xlim=(0, 1))
    return figure


def draw_risk_coverage(curve: pd.DataFrame, figures: Mapping[str, Any], subject: str) -> Figure:
    """Error rate among the surest images, over the share of images that they are."""
    figure = Figure((INCHES * 1.2, INCHES), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    label = f"area {figures['risk_coverage_area']['value']:.3f}"
    axes.plot(curve["coverage"].to_numpy(), curve["risk"].to_numpy(), color=COLOURS[0], label=label)
    axes.set(xlabel="coverage (share of images, surest first)", ylabel="risk (share of errors)", xlim=(0, 1))
    axes.set(ylim=(0, None), title=f"Risk and coverage: {subject}")
    axes.legend(loc="upper left")
    return figure


def draw_arms(figures: Mapping[str, Any]) -> Figure:
    """Ensemble and members of each arm on test, with intervals."""
    models = {"ensemble": figures["ensemble"], **figures["members"]}
    arms = list(figures["ensemble"])
    figure = Figure((INCHES * len(METRICS), INCHES * 0.8), layout="constrained", dpi=120)
    height = 0.8 / len(models)
    for axes, metric in zip(figure.subplots(1, len(METRICS), sharey=True), METRICS, strict=True):
        for i, ((name, by_arm), colour) in enumerate(zip(models.items(), cycle(COLOURS), strict=False)):
            values = pd.DataFrame([by_arm[arm]["test"][metric] for arm in arms]).astype(np.float64)
            spread = [values["value"] - values["low"], values["high"] - values["value"]]
            place = np.arange(len(arms)) + i * height
            axes.errorbar(values["value"], place, xerr=np.abs(spread), fmt="o", color=colour, capsize=3, label=name)
        axes.set_yticks(np.arange(len(arms)) + 0.4 - height / 2, arms)
        axes.set(xlabel=METRICS[metric], title="test")
        axes.grid(axis="x", color="0.9")
    figure.axes[0].invert_yaxis()
    figure.axes[0].legend(fontsize=8)
    return figure


def _styles() -> list[dict[str, Any]]:
    """Colour and dash by place: neighbours differ in both, and the first 28 are all different."""
    return [
        {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        for i in range(len(COLOURS) * len(DASHES))
    ]
