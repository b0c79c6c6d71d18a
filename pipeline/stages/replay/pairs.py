"""Apply the stewards' pair verdicts to the groups that `dedup` made.

A person may part two images, join them, or declare one a copy of the other that was missed. Parted copies return;
groups form anew around the images concerned. A group's new split is the most protected that any of its images had, so a
verdict can move images out of train, and never into it: the two halves of a parted test group both stay test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from pipeline.core.grouping import SPLITS, components, links
from pipeline.ledger.decisions import COPY_OF, NOT_A_DUPLICATE, Decision

Pair = tuple[str, str]


def apply_pair_verdicts(
    groups: pd.DataFrame, images: pd.DataFrame, duplicates: pd.DataFrame, verdicts: Mapping[Pair, Decision]
) -> pd.DataFrame:
    """Return `groups` with duplicate_of, group_id and split as the verdicts make them.

    `not_a_duplicate` takes away the edge between the two images, whatever its relation; `same_lesion` makes it an edge
    of that relation, so that a copy returns and stays in its group. `copy_of` makes it an edge too, and the image, with
    all that were its copies, a copy of what the other is or is kept as.

    Args:
        groups: the table Groups.
        images: image_id, lesion_id, patient_id of all images.
        duplicates: the table Duplicates.
        verdicts: of pairs of known images, by pair in order.

    """
    if not verdicts:
        return groups
    found = _pairs(duplicates[duplicates["relation"] == "copy"])
    copies = {pair for pair in found if pair not in verdicts or verdicts[pair].verdict == COPY_OF}
    parted = {pair for pair, decision in verdicts.items() if decision.verdict == NOT_A_DUPLICATE}
    joined = verdicts.keys() - parted
    edges = (set(_pairs(duplicates)) - parted) | joined
    result = groups.copy()
    undeclared = _duplicates_of(groups, copies, verdicts)
    declared = [verdicts[pair] for pair in sorted(verdicts) if verdicts[pair].verdict == COPY_OF]
    result["duplicate_of"] = groups["image_id"].map(_with_declared(undeclared, declared))
    return _regroup(result, images, edges, touched={image for pair in verdicts for image in pair})


def _duplicates_of(groups: pd.DataFrame, copies: set[Pair], verdicts: Mapping[Pair, Decision]) -> dict[str, str]:
    """Give a copy that a verdict parts from its kept image another kept image with a copy edge, or let it return."""
    original = {i: d for i, d in zip(groups["image_id"], groups["duplicate_of"], strict=True) if isinstance(d, str)}
    partners: dict[str, set[str]] = {}
    for a, b in copies:
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    reviewed = dict(original)
    for image in sorted(original):
        verdict = verdicts.get(_in_order(image, original[image]))
        if verdict is not None and verdict.verdict != COPY_OF:
            del reviewed[image]
            kept = sorted(other for other in partners.get(image, ()) if other not in reviewed)
            if kept:
                reviewed[image] = kept[0]
    return reviewed


def _with_declared(copy_of: dict[str, str], declared: Iterable[Decision]) -> dict[str, str]:
    """Join the copies that stewards declared to those that were found: the other image's kept one stays."""
    for decision in declared:
        kept = copy_of.get(decision.other_image_id, decision.other_image_id)
        leaves = copy_of.get(decision.image_id, decision.image_id)
        if leaves != kept:
            copy_of = {image: kept if of == leaves else of for image, of in copy_of.items()} | {leaves: kept}
    return copy_of


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
