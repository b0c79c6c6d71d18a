"""What a ledger comes to on the tables at hand: pure, so that commands can ask what a decision would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.ledger.decisions import Decision
from pipeline.ledger.replay import DISPUTED, LATER, UNSIGNED, Verdicts, read_until, replay, stewards
from pipeline.stages.replay.pairs import apply_pair_verdicts
from pipeline.stages.replay.params import ReplayParams


def apply_ledger(
    decisions: Sequence[Decision],
    images: pd.DataFrame,
    groups: pd.DataFrame,
    duplicates: pd.DataFrame,
    params: ReplayParams,
) -> tuple[Verdicts, pd.DataFrame]:
    """Find what is in force, and the groups that it makes: the table ReviewedGroups.

    A pair counts as on validation or test by the splits that `dedup` made, an image by those that the pairs in force
    leave, because a pair verdict may have moved it there.

    Args:
        decisions: all, in the order of the file.
        images: the table Images.
        groups: the table Groups.
        duplicates: the table Duplicates.
        params: of the stage.

    Raises:
        UserError: `until` is no date.

    """
    until = read_until(params.until)
    signed = needs_signatures(decisions, params)
    of_pairs = _protected(groups) if signed else set()
    pairs = replay(decisions, images, until=until, protected_pairs=of_pairs).pairs
    reviewed = apply_pair_verdicts(groups, images, duplicates, pairs)
    of_images = _protected(reviewed) if signed else set()
    return replay(decisions, images, until=until, protected_images=of_images, protected_pairs=of_pairs), reviewed


def needs_signatures(decisions: Sequence[Decision], params: ReplayParams) -> bool:
    """Say whether verdicts on validation and test wait for a second steward: not where there is only one."""
    return params.second_signature and len(stewards(decisions, read_until(params.until))) > 1


def in_force(verdicts: Verdicts) -> pd.DataFrame:
    """List the decisions in force on images: the rows of Decisions."""
    rows = [(image, d.verdict, d.to or None, d.steward) for image, d in verdicts.images.items()]
    return pd.DataFrame(rows, columns=["image_id", "verdict", "to", "steward"])


def summarise(verdicts: Verdicts, decisions: Sequence[Decision], params: ReplayParams) -> dict[str, Any]:
    """Count the decisions by state, list what waits for whom, and say in sentences what a reader should know."""
    counts, names = verdicts.counts(), stewards(decisions, read_until(params.until))
    waiting = [
        {"seq": d.seq, "image_id": d.image_id, "other_image_id": d.other_image_id, "steward": d.steward, "state": state}
        for d, state in zip(decisions, verdicts.states, strict=True)
        if state in {DISPUTED, UNSIGNED}
    ]
    sentences = []
    if counts[DISPUTED]:
        cases = {d.subject for d, state in zip(decisions, verdicts.states, strict=True) if state == DISPUTED}
        sentences.append(f"{len(cases)} cases are disputed; the given labels hold until they are decided")
    if counts[UNSIGNED]:
        sentences.append(f"{counts[UNSIGNED]} decisions on validation or test wait for a second steward")
    if params.second_signature and len(names) == 1:
        sentences.append(f"no second signature is asked for on validation and test: {names[0]} is the only steward")
    if counts[LATER]:
        sentences.append(f"{counts[LATER]} decisions after {params.until} are left out (replay.until)")
    return {
        **counts,
        "stewards": names,
        "second_signature": needs_signatures(decisions, params),
        "waiting": waiting,
        "stale_decisions": [vars(decision) for decision in verdicts.stale],
        "warnings": sentences,
    }


def _protected(groups: pd.DataFrame) -> set[str]:
    return set(groups.loc[groups["split"] != "train", "image_id"])
