"""Apply the stewards' pair verdicts to the groups that `dedup` made.

A person may part two images or join them. Parted copies return; groups form anew around the images concerned. A group's
new split is the most protected that any of its images had, so a verdict can move images out of train, and never into
it: the two halves of a parted test group both stay test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from pipeline.core.grouping import SPLITS, components, links
from pipeline.ledger.decisions import NOT_A_DUPLICATE, SAME_LESION, Decision

Pair = tuple[str, str]


def apply_pair_verdicts(
    groups: pd.DataFrame, images: pd.DataFrame, duplicates: pd.DataFrame, verdicts: Mapping[Pair, Decision]
) -> pd.DataFrame:
    """Return `groups` with duplicate_of, group_id and split as the verdicts make them.

    `not_a_duplicate` takes away the edge between the two images, whatever its relation; `same_lesion` makes it an edge
    of that relation, so that a copy returns and stays in its group.

    Args:
        groups: the table Groups.
        images: image_id, lesion_id, patient_id of all images.
        duplicates: the table Duplicates.
        verdicts: of pairs of known images, by pair in order.

    """
    if not verdicts:
        return groups
    copies = {pair for pair in _pairs(duplicates[duplicates["relation"] == "copy"]) if pair not in verdicts}
    parted = {pair for pair, decision in verdicts.items() if decision.verdict == NOT_A_DUPLICATE}
    joined = {pair for pair, decision in verdicts.items() if decision.verdict == SAME_LESION}
    edges = (set(_pairs(duplicates)) - parted) | joined
    result = groups.copy()
    result["duplicate_of"] = _duplicates_of(groups, copies, verdicts)
    return _regroup(result, images, edges, touched={image for pair in verdicts for image in pair})


def _duplicates_of(groups: pd.DataFrame, copies: set[Pair], verdicts: Mapping[Pair, Decision]) -> pd.Series[str]:
    """Give a copy that a verdict parts from its kept image another kept image with a copy edge, or let it return."""
    original = {i: d for i, d in zip(groups["image_id"], groups["duplicate_of"], strict=True) if isinstance(d, str)}
    partners: dict[str, set[str]] = {}
    for a, b in copies:
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    reviewed = dict(original)
    for image in sorted(original):
        if _in_order(image, original[image]) in verdicts:
            del reviewed[image]
            kept = sorted(other for other in partners.get(image, ()) if other not in reviewed)
            if kept:
                reviewed[image] = kept[0]
    return groups["image_id"].map(reviewed)


def _regroup(groups: pd.DataFrame, images: pd.DataFrame, edges: Iterable[Pair], *, touched: set[str]) -> pd.DataFrame:
    """Form anew the groups that hold a touched image; the others stay as they are."""
    ids = groups.loc[groups["image_id"].isin(touched), "group_id"].unique()
    part = groups[groups["group_id"].isin(ids)]
    names = part["image_id"].tolist()
    known = images.set_index("image_id").loc[names]
    within = set(names)
    bonds = [(a, b) for a, b in edges if a in within and b in within]
    bonds += links(names, known["lesion_id"].tolist()) + links(names, known["patient_id"].tolist())
    new = pd.Series(components(names, bonds), index=part.index)
    rank = part["split"].map(SPLITS.index).groupby(new).transform("max")
    result = groups.copy()
    result.loc[part.index, "group_id"] = new
    result.loc[part.index, "split"] = rank.map(dict(enumerate(SPLITS)))
    return result


def _pairs(duplicates: pd.DataFrame) -> list[Pair]:
    return list(zip(duplicates["a"], duplicates["b"], strict=True))


def _in_order(a: str, b: str) -> Pair:
    return (a, b) if a < b else (b, a)


def count_moved(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, int]:
    """Count the images whose split the verdicts changed, as `train to test` and the like."""
    splits = before.merge(after, on="image_id", suffixes=("_before", "_after"), validate="one_to_one")
    moved = splits[splits["split_before"] != splits["split_after"]]
    counts = (moved["split_before"] + " to " + moved["split_after"]).value_counts().sort_index()
    return {str(move): int(count) for move, count in counts.items()}
