"""Figures of arms and recipes: the mean over seeds, and intervals by a bootstrap over groups and seeds.

A resample draws groups and seeds with replacement, the same ones for all that is compared, so that differences are
paired. Every group is tested once a seed: the figures are of all folds' test images together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gain.fitting import Fit, Run, Try, read
from bench.gain.plan import Cell, Project
from bench.measures import CONFIDENCE
from pipeline.stages.evaluate.bootstrap import Estimate, draw_groups, estimate
from pipeline.stages.evaluate.ensemble import calibrate, pool
from pipeline.stages.evaluate.metrics import SPECIFICITY, auroc, hits, rank, sensitivity_at
from pipeline.stages.evaluate.scored import Truth

RESAMPLES = 1000
SCREENED = "melanoma"
SENSITIVITY = "melanoma_sensitivity_at_90_specificity"
SHOWN = ("balanced_accuracy", "accuracy", "macro_auroc", SENSITIVITY)
ENSEMBLE = "ensemble"

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """What predictions of a project's images are held against.

    actual, group: class and group number of each image, (n,).
    classes: names.
    draws: (resamples, groups) how often each group is drawn.
    known: figures of what has been scored: arms that are alike are scored once.
    """

    actual: NDArray[np.integer]
    group: NDArray[np.integer]
    classes: Sequence[str]
    draws: NDArray[np.integer]
    known: dict[bytes, dict[str, Estimate]] = field(default_factory=dict)

    @classmethod
    def of(cls, project: Project, resamples: int = RESAMPLES) -> Scale:
        """Hold predictions against labels as published."""
        labelled = project.labelled
        draws = draw_groups(int(labelled.group.max()) + 1, resamples, np.random.default_rng(0))
        return cls(labelled.given, labelled.group, labelled.classes, draws)

    def over_seeds(self, by_seed: Sequence[Probabilities]) -> dict[str, Estimate]:
        """Score predictions (n, classes) of each seed; rows of NaN are no predictions."""
        scored = [self._one(probabilities) for probabilities in by_seed]
        return {name: over_seeds([of_seed[name] for of_seed in scored]) for name in scored[0]}

    def _one(self, probabilities: Probabilities) -> dict[str, Estimate]:
        name = probabilities.tobytes()
        if name not in self.known:
            there = ~np.isnan(probabilities[:, 0])
            of = partial(figures, probabilities[there], self.actual[there], classes=self.classes)
            self.known[name] = estimate(of, self.group[there], self.draws)
        return self.known[name]


def figures(
    probabilities: Probabilities, actual: NDArray[np.integer], weights: NDArray[np.float64], *, classes: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Score predictions, (images, classes), under weights, (weightings, images): what `evaluate` calls the same."""
    columns = np.ascontiguousarray(weights.T)
    rankings = [rank(probabilities[:, k], actual == k, columns) for k in range(len(classes))]
    hit = probabilities.argmax(axis=1) == actual
    found = {
        f"recall {name}": (weights @ (hit & (actual == k))) / (weights @ (actual == k))
        for k, name in enumerate(classes)
    }
    if SCREENED in classes:
        found[SENSITIVITY] = sensitivity_at(SPECIFICITY, rankings[list(classes).index(SCREENED)])
    areas = np.array([auroc(ranking) for ranking in rankings])
    return {**hits(probabilities, actual, weights), "macro_auroc": np.nanmean(areas, axis=0), **found}


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """Average a figure over seeds; a resample of the groups draws seeds with replacement too."""
    values, draws = np.array([one.value for one in estimates]), np.stack([one.draws for one in estimates])
    seeds, resamples = draws.shape
    chosen = np.random.default_rng(1).integers(seeds, size=(seeds, resamples))
    return Estimate(float(values.mean()), np.take_along_axis(draws, chosen, axis=0).mean(axis=0))


def predict(run: Run, cells: Sequence[Cell], arm: str, members: Sequence[str], tries: Sequence[Try]) -> Predicted:
    """Put the folds of a seed together: of each member the recipe that its own validation likes best, calibrated.

    Several members are joined as `evaluate` joins them, by the mean.
    """
    taken: dict[str, int] = {}

    def of_cell(cell: Cell) -> tuple[NDArray[np.str_], Probabilities]:
        fits = []
        for member in members:
            best = max(
                ((read(run.path(cell, arm, member, one)), one) for one in tries), key=lambda pair: pair[0].quality
            )
            taken[best[1].name] = taken.get(best[1].name, 0) + 1
            fits.append(best[0])
        truth, calibrated = calibrated_on_validation(fits)
        joined = calibrated[0] if len(fits) == 1 else pool(calibrated, "mean", truth).probabilities
        return fits[0].image_id, joined[len(truth.actual) :]

    return Predicted(put_together(run, cells, of_cell), taken)


@dataclass(frozen=True)
class Predicted:
    """Probabilities (n, classes) of each seed, and how often each recipe was taken."""

    by_seed: list[Probabilities]
    taken: dict[str, int]


def put_together(
    run: Run, cells: Sequence[Cell], of_cell: Callable[[Cell], tuple[NDArray[np.str_], Probabilities]]
) -> list[Probabilities]:
    """Put what is said of each fold's test images together: of each seed (n, classes), of all images."""
    labelled = run.terms.project.labelled
    shape = len(labelled.given), len(labelled.classes)
    whole = {seed: np.full(shape, np.nan) for seed in dict.fromkeys(cell.seed for cell in cells)}
    for cell in cells:
        image_id, probabilities = of_cell(cell)
        whole[cell.seed][np.searchsorted(labelled.image_id, image_id)] = probabilities
    return list(whole.values())


def calibrated_on_validation(fits: Sequence[Fit]) -> tuple[Truth, list[Probabilities]]:
    """Return validation, and of each fit the probabilities of validation, then test, at the temperature it wants."""
    held = len(fits[0].actual)
    truth = Truth(np.arange(held), fits[0].actual, np.arange(held), "")
    return truth, [calibrate(np.concatenate([fit.validation, fit.probabilities]), truth).probabilities for fit in fits]


def shown(figure: Estimate) -> list[float]:
    """Write a figure and its interval."""
    return [round(number, 4) for number in (figure.value, *figure.interval(CONFIDENCE))]


def signed(figure: Estimate) -> str:
    """Write a difference."""
    value, low, high = shown(figure)
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def with_interval(figure: Estimate) -> str:
    """Write a figure and its interval for a table."""
    value, low, high = shown(figure)
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def share(part: Estimate, whole: Estimate) -> Estimate:
    """Divide one difference by another, resample by resample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(part.value / whole.value if whole.value else float("nan"), part.draws / whole.draws)


def mean_facts(run: Run, cells: Sequence[Cell]) -> Mapping[str, Any]:
    """Average what is known of the cells' training sets."""
    known = [json.loads(run.facts(cell).read_text("utf-8")) for cell in cells]
    return {arm: _mean([one[arm] for one in known]) for arm in known[0]}


def _mean(values: Sequence[Any]) -> Any:  # noqa: ANN401 - a number, or a mapping of them
    if isinstance(values[0], dict):
        return {name: _mean([value[name] for value in values]) for name in values[0]}
    return round(float(np.mean(values)), 1)
