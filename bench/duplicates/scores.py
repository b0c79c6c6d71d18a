"""What is reported of a finder on one collection: figures of its ranking of pairs, with intervals, and by kind.

A resample of originals takes their copies along: a pair within a family (an original and its copy) weighs as often as
its family was drawn, a pair across two as often as both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.duplicates.calibration import PROVEN, calibrate
from bench.duplicates.collection import Collection
from bench.duplicates.planting import Truth
from bench.measures import CONFIDENCE, Ranking
from pipeline.stages.evaluate.bootstrap import draw_groups

PRECISION = 0.99
FALSE = -1  # in place of a kind's number
RESAMPLES = 200
DIGITS = 4
SOURCES = ("phash", "features", "embedding")

Report = dict[str, Any]


class Labelled(NamedTuple):
    """A ranking held against the truth, the best pair first.

    score: (pairs,).
    kind: (pairs,) number of the copy's kind, FALSE for a pair that is no copy and its original.
    families: (pairs, 2) numbers of the originals of both files.
    """

    score: NDArray[np.float64]
    kind: NDArray[np.int64]
    families: NDArray[np.int64]

    def ranking(self) -> Ranking:
        """Make it ready to be measured."""
        return Ranking(self.score, self.kind != FALSE)


def label(pairs: pd.DataFrame, truth: Truth) -> Labelled:
    """Hold a ranking (a, b: numbers of files; score; the best first) against the truth; kinds are numbered by name."""
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    number = {name: i for i, name in enumerate(_names(truth))} | {"": FALSE}
    kinds = np.array([number[kind] for kind in truth.kinds])
    families = np.stack([truth.originals[a], truth.originals[b]], axis=1)
    is_copy = families[:, 0] == families[:, 1]
    return Labelled(pairs["score"].to_numpy(), np.where(is_copy, np.maximum(kinds[a], kinds[b]), FALSE), families)


def of_kind(labelled: Labelled, kind: int) -> Labelled:
    """Keep one kind's pairs and all false ones: other kinds' are neither right nor wrong here."""
    kept = (labelled.kind == kind) | (labelled.kind == FALSE)
    return Labelled(*(column[kept] for column in labelled))


def score(pairs: pd.DataFrame, truth: Truth, *, seed: int) -> Report:
    """Score a finder's ranking; rows without a score are not ranked.

    Returns:
        average_precision, recall_at_p99 and their intervals, false_pairs (above that cut); by kind the same, where all
        pairs that are no copies are the negatives, and the recall at the cut of all kinds together.

    """
    labelled = label(pairs.dropna(subset="score"), truth)
    whole, kinds = labelled.ranking(), {}
    cut = whole.threshold(PRECISION)
    for number, name in enumerate(_names(truth)):
        part, count = of_kind(labelled, number), truth.kinds.count(name)
        above = ((part.kind == number) & (part.score >= cut)).sum()
        kinds[name] = {"pairs": count, **_figures(part.ranking(), count), "recall_at_common_cut": above / count}
    report = {
        **_figures(whole, truth.copies),
        "false_pairs": int(((labelled.kind == FALSE) & (labelled.score >= cut)).sum()),
        "intervals": intervals(labelled, truth, resamples=RESAMPLES, seed=seed),
        "kinds": kinds,
    }
    return dict(_rounded(report))


def intervals(labelled: Labelled, truth: Truth, *, resamples: int, seed: int) -> dict[str, list[float]]:
    """Resample originals with their copies; return the 95% percentile intervals of both figures."""
    originals, owners = np.unique(truth.originals, return_inverse=True)
    copied = owners[[i for i, kind in enumerate(truth.kinds) if kind]]
    a, b = np.searchsorted(originals, labelled.families).T
    ranking, values = labelled.ranking(), []
    for drawn in draw_groups(len(originals), resamples, np.random.default_rng([seed, 4])).astype(float):
        weight = drawn[a] * np.where(a == b, 1.0, drawn[b])
        values.append(list(_figures(ranking, float(drawn[copied].sum()), weight).values()))
    ends = np.quantile(np.array(values), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return dict(zip(("average_precision", "recall_at_p99"), ends.T.tolist(), strict=True))


def operating_point(pairs: pd.DataFrame, truth: Truth) -> Report:
    """Score our own finder where the product stands: what it lists as copy or same lesion, and what it looked at.

    Args:
        pairs: from `ours.rank`, with relation and proposed_by.
        truth: of the collection.

    Returns:
        pairs, precision and recall of all that is proven, and of copies alone; by kind the share that was found a copy,
        found the same lesion, proposed at all, and proposed by each source; and what other thresholds would list.

    """
    listed = pairs.assign(kind=label(pairs, truth).kind)
    report: Report = {}
    for title, relations in (("proven", PROVEN), ("copy", ("copy",))):
        chosen = listed[listed["relation"].isin(relations)]
        right = int((chosen["kind"] != FALSE).sum())
        report[title] = {
            "pairs": len(chosen),
            "false_pairs": len(chosen) - right,
            "precision": right / max(1, len(chosen)),
            "recall": right / truth.copies,
        }
    report["kinds"] = {
        name: _shares(listed[listed["kind"] == number], truth.kinds.count(name))
        for number, name in enumerate(_names(truth))
    }
    planted_pair = (listed["kind"] != FALSE).to_numpy()
    return {**_rounded(report), "calibration": calibrate(pairs, planted_pair, ~planted_pair)}


def false_pairs(pairs: pd.DataFrame, gathered: Collection, truth: Truth, *, count: int) -> pd.DataFrame:
    """List the best-ranked pairs that are no copies, for people to look at: what they are called, and their files."""
    ranking = pairs.dropna(subset="score")
    wrong = ranking[truth.originals[ranking["a"]] != truth.originals[ranking["b"]]].head(count)
    labels, names = np.array(gathered.labels), np.array(gathered.names)
    called = {end: labels[wrong[end]] for end in ("a", "b")}
    return pd.DataFrame({**called, **{f"file_{end}": names[wrong[end]] for end in called}, "score": wrong["score"]})


def _names(truth: Truth) -> list[str]:
    return sorted(set(truth.kinds) - {""})


def _figures(ranking: Ranking, positives: float, weight: NDArray[np.float64] | None = None) -> dict[str, float]:
    return {
        "average_precision": ranking.average_precision(weight, positives=positives),
        "recall_at_p99": ranking.recall_at(PRECISION, positives=positives, weight=weight),
    }


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
