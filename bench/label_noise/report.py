"""From outcomes to figures with intervals, and from figures to tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.label_noise.measures import measure, paired_bootstrap
from bench.label_noise.run import DATALAB, OURS, UNGROUPED, Outcome

Array = np.ndarray[Any, Any]

BEST = "cleanlab, best score of the cell"
FIGURES = ("auroc", "average_precision", "precision_at_errors", "recall_at_twice")
SHOWN = (OURS, BEST, DATALAB, "training loss", "FiftyOne mistakenness", "SelfClean", "k nearest neighbours")


def summarise(outcomes: Sequence[Outcome], lesion: Array, *, draws: int, seed: int) -> dict[str, Any]:
    """Average a cell's figures over its seeds and bound our lead on every rival.

    Args:
        outcomes: one a seed, all of the same methods.
        lesion: (n,) numbers, what the bootstrap resamples.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        errors: planted, by seed. methods: by name the mean of each figure over seeds. lead: by rival the 95% interval
        of our average precision minus theirs.

    """
    methods = {
        name: {figure: round(float(np.mean([measured[figure] for measured in of_seed])), 4) for figure in FIGURES}
        for name in outcomes[0].scores
        for of_seed in [[measure(outcome.scores[name], outcome.wrong) for outcome in outcomes]]
    }
    contenders = [name for name in methods if name != UNGROUPED]
    lead = paired_bootstrap(
        [{name: outcome.scores[name] for name in contenders} for outcome in outcomes],
        [outcome.wrong for outcome in outcomes],
        lesion,
        ours=OURS,
        draws=draws,
        seed=seed,
    )
    return {
        "errors": [int(outcome.wrong.sum()) for outcome in outcomes],
        "methods": methods,
        "lead": {name: [round(end, 4) for end in ends] for name, ends in lead.items()},
    }


def table(cells: dict[str, dict[str, Any]]) -> str:
    """Lay out average precision by cell, and how our lead on the best rival is bounded."""
    lines = ["| cell | " + " | ".join(SHOWN) + " | best rival | lead on it, 95% |", "|---" * (len(SHOWN) + 3) + "|"]
    for name, cell in cells.items():
        methods = {method: figures["average_precision"] for method, figures in cell["methods"].items()}
        best_score = max((m for m in methods if m.startswith("cleanlab") and m != UNGROUPED), key=methods.__getitem__)
        shown = methods | {BEST: methods[best_score]}
        rival = max((m for m in methods if m not in (OURS, UNGROUPED)), key=methods.__getitem__)
        low, high = cell["lead"][rival]
        figures = " | ".join(f"{shown[method]:.3f}" for method in SHOWN)
        lines.append(f"| {name} | {figures} | {rival} | {low:+.3f} to {high:+.3f} |")
    return "\n".join(lines)
