"""What a threshold of ours buys and costs: pairs listed at its values around the profile's, the others as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.command import markdown
from bench.measures import exact_interval
from pipeline.stages.dedup.verification.registration import Registration
from pipeline.stages.dedup.verification.relations import THRESHOLDS as OURS
from pipeline.stages.dedup.verification.relations import Thresholds, relation
from pipeline.stages.dedup.verification.verify import MEASURED

DIGITS = 7


class Threshold(NamedTuple):
    """A threshold of ours, the values to try, and the relations that a pair may have to count as listed."""

    param: str
    values: tuple[float, ...]
    relations: tuple[str, ...]


COPY, PROVEN = ("copy",), ("copy", "same_lesion")
THRESHOLDS = (
    Threshold("copy_min_correlation", (0.5, 0.6, 0.7, 0.8, 0.9), COPY),
    Threshold("copy_max_residual", (3.5, 4.5, 5.5, 6.5, 8.0), COPY),
    Threshold("copy_max_bending_pixels", (0.06, 0.075, 0.09, 0.12, 0.15), COPY),
    Threshold("copy_min_inliers", (6, 9, 12, 16, 24), COPY),
    Threshold("same_lesion_min_correlation", (0.2, 0.3, 0.35, 0.4, 0.5), PROVEN),
    Threshold("same_lesion_min_inliers", (5, 6, 7, 8, 12), PROVEN),
)


def calibrate(
    pairs: pd.DataFrame, right: NDArray[np.bool_], wrong: NDArray[np.bool_]
) -> dict[str, list[dict[str, Any]]]:
    """Count what would be listed at other thresholds.

    Args:
        pairs: from `ours.rank`: all that were looked at, with relation, what `verify.MEASURED` lists and inliers.
        right: (pairs,) known to show the same.
        wrong: (pairs,) known to be look-alikes.

    Returns:
        by param, for each value: whether it is the profile's own, how many right and wrong pairs are listed, and the
        95% interval of the share of the wrong ones that is. A pair that was aligned directly is listed as same
        lesion where the profile does so.

    """
    shown = pairs["relation"].isin([*PROVEN, "weak"]).to_numpy()
    measured = pairs[shown]
    report: dict[str, list[dict[str, Any]]] = {}
    for param, values, relations in THRESHOLDS:
        report[param] = []
        for value in values:
            changes: dict[str, Any] = {param: value}
            changed = replace(OURS, **changes)
            listed = np.zeros(len(pairs), bool)
            listed[shown] = [name in relations for name in _relations(measured, changed)]
            found, merged = int((listed & right).sum()), int((listed & wrong).sum())
            interval = [round(end, DIGITS) for end in exact_interval(merged, int(wrong.sum()))]
            report[param].append(
                {
                    "value": value,
                    "own": value == getattr(OURS, param),
                    "right": found,
                    "wrong": merged,
                    "wrong_rate_interval": interval,
                }
            )
    return report


def table(title: str, report: Mapping[str, list[dict[str, Any]]]) -> str:
    """Lay counts out as Markdown: `value: right / wrong`, the profile's own in bold."""
    rows = []
    for param, values in report.items():
        cells = [(f"{at['value']:g}: {at['right']:,} / {at['wrong']:,}", at["own"]) for at in values]
        rows.append([param, *(f"**{text}**" if own else text for text, own in cells)])
    return markdown(["threshold", *[""] * max(map(len, report.values()))], rows, title=title)


def _relations(pairs: pd.DataFrame, thresholds: Thresholds) -> Iterator[str | None]:
    proven = pairs["relation"].isin(PROVEN)
    for known, inliers, *measured in zip(proven, pairs["inliers"], *(pairs[name] for name in MEASURED), strict=True):
        seen = Registration(np.eye(3), **dict(zip(MEASURED, measured, strict=True)))
        aligned_directly = -1.0 if known else None  # it is listed where the profile does so
        yield relation(
            seen,
            thresholds,
            inliers=int(inliers) or None,
            same_lesion_floor=thresholds.same_lesion_min_correlation if inliers else aligned_directly,
        )
