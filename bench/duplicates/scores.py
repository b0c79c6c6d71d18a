"""What is reported of a finder on one collection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.duplicates.calibration import PROVEN, calibrate
from bench.duplicates.collection import Collection
from bench.duplicates.measures import (
    FALSE,
    average_precision,
    curve,
    intervals,
    label,
    of_kind,
    recall_at_precision,
    threshold,
)
from bench.duplicates.planting import Truth

RESAMPLES = 200
DIGITS = 4
SOURCES = ("phash", "features", "embedding")

Report = dict[str, Any]


def score(pairs: pd.DataFrame, truth: Truth, *, seed: int) -> Report:
    """Score a ranking.

    Args:
        pairs: from a finder: a, b, score; rows without a score are not ranked.
        truth: of the collection.
        seed: of the bootstrap.

    Returns:
        average_precision, recall_at_p99 and their intervals, false_pairs (above that cut); by kind the same, where all
        pairs that are no copies are the negatives, and the recall at the cut of all kinds together.

    """
    ranking = pairs.dropna(subset="score")
    names = sorted(set(truth.kinds) - {""})
    counts = {name: truth.kinds.count(name) for name in names}
    labelled = label(ranking, truth, names)
    whole = curve(labelled, positives=sum(counts.values()))
    cut = threshold(whole)
    report: Report = {
        "average_precision": average_precision(whole),
        "recall_at_p99": recall_at_precision(whole),
        "false_pairs": int(((labelled.kind == FALSE) & (labelled.score >= cut)).sum()),
        "intervals": intervals(labelled, truth, resamples=RESAMPLES, seed=seed),
        "kinds": {},
    }
    for number, name in enumerate(names):
        part = of_kind(labelled, number)
        found = curve(part, positives=counts[name])
        above = ((part.kind == number) & (part.score >= cut)).sum()
        report["kinds"][name] = {
            "pairs": counts[name],
            "average_precision": average_precision(found),
            "recall_at_p99": recall_at_precision(found),
            "recall_at_common_cut": above / counts[name],
        }
    return {name: _rounded(figures) for name, figures in report.items()}


def operating_point(pairs: pd.DataFrame, truth: Truth) -> Report:
    """Score our own finder where the product stands: what it lists as copy or same lesion, and what it looked at.

    Args:
        pairs: from `finders.ours`, with relation and proposed_by.
        truth: of the collection.

    Returns:
        pairs, precision and recall of all that is proven, and of copies alone; by kind the share that was found a copy,
        found the same lesion, proposed at all, and proposed by each source; and what other thresholds would list.

    """
    names = sorted(set(truth.kinds) - {""})
    listed = pairs.assign(kind=label(pairs, truth, names).kind)
    report: Report = {}
    for title, relations in (("proven", PROVEN), ("copy", ("copy",))):
        chosen = listed[listed["relation"].isin(relations)]
        right = int((chosen["kind"] != FALSE).sum())
        planted = len(truth.kinds) - truth.kinds.count("")
        report[title] = {
            "pairs": len(chosen),
            "false_pairs": len(chosen) - right,
            "precision": right / max(1, len(chosen)),
            "recall": right / planted,
        }
    report["kinds"] = {
        name: _shares(listed[listed["kind"] == number], truth.kinds.count(name)) for number, name in enumerate(names)
    }
    rounded = {name: _rounded(figures) for name, figures in report.items()}
    planted_pair = (listed["kind"] != FALSE).to_numpy()
    return {**rounded, "calibration": calibrate(pairs, planted_pair, ~planted_pair)}


def false_pairs(pairs: pd.DataFrame, gathered: Collection, truth: Truth, *, count: int) -> pd.DataFrame:
    """List the best-ranked pairs that are no copies, for people to look at: what they are called, and their files.

    Args:
        pairs: from a finder.
        gathered: the collection.
        truth: of it.
        count: at most.

    """
    ranking = pairs.dropna(subset="score")
    wrong = ranking[truth.originals[ranking["a"]] != truth.originals[ranking["b"]]].head(count)
    labels, names = np.array(gathered.labels), np.array(gathered.names)
    called = {end: labels[wrong[end]] for end in ("a", "b")}
    return pd.DataFrame({**called, **{f"file_{end}": names[wrong[end]] for end in called}, "score": wrong["score"]})


def _shares(found: pd.DataFrame, planted: int) -> Report:
    proposed = found["proposed_by"].str.split("+")
    shares = {relation: int((found["relation"] == relation).sum()) / planted for relation in (*PROVEN, "weak")}
    shares["proposed"] = len(found) / planted
    return shares | {
        f"by_{source}": int(proposed.map(lambda names, source=source: source in names).sum()) / planted
        for source in SOURCES
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Round every number of a report, so that it reads well and does not change by a bit."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(float(value), DIGITS) if isinstance(value, float | np.floating) else value
