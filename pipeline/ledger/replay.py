"""From all decisions ever made to those that hold for the images at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.ledger.decisions import PAIR_VERDICTS, Decision


@dataclass(frozen=True)
class Stale:
    """A decision that does not hold any more; `seq` is its number in the file."""

    seq: int
    image_id: str
    why: str


@dataclass(frozen=True)
class Verdicts:
    """The decisions in force, by image and by pair (image_ids in order); what was overtaken; what is stale."""

    images: dict[str, Decision]
    pairs: dict[tuple[str, str], Decision]
    superseded: int
    stale: list[Stale]

    def counts(self) -> dict[str, int]:
        """Count the decisions: recorded = applied + superseded + stale."""
        applied = len(self.images) + len(self.pairs)
        recorded = applied + self.superseded + len(self.stale)
        return {"recorded": recorded, "applied": applied, "superseded": self.superseded, "stale": len(self.stale)}


def replay(decisions: Sequence[Decision], images: pd.DataFrame) -> Verdicts:
    """Find the decision in force for every image and pair: the last one that is not stale.

    Args:
        decisions: in the order of the file.
        images: image_id, sha256 and diagnosis of all images.

    """
    columns = (images[name] for name in ("image_id", "sha256", "diagnosis"))
    known = {image: (sha256, diagnosis) for image, sha256, diagnosis in zip(*columns, strict=True)}
    in_force: dict[tuple[Any, ...], Decision] = {}
    stale = []
    for seq, decision in enumerate(decisions, start=1):
        if why := _why_stale(decision, known):
            stale.append(Stale(seq, decision.image_id, why))
        else:
            in_force[decision.subject] = decision
    return Verdicts(
        images={s[0]: d for s, d in in_force.items() if d.verdict not in PAIR_VERDICTS},
        pairs={(s[0], s[1]): d for s, d in in_force.items() if d.verdict in PAIR_VERDICTS},
        superseded=len(decisions) - len(stale) - len(in_force),
        stale=stale,
    )


def _why_stale(decision: Decision, known: dict[str, tuple[str, str]]) -> str | None:
    if decision.image_id not in known:
        return "the image is unknown"
    if decision.other_image_id and decision.other_image_id not in known:
        return f"the other image {decision.other_image_id} is unknown"
    sha256, diagnosis = known[decision.image_id]
    if sha256 != decision.sha256:
        return "the image's bytes changed"
    if decision.given not in ("", diagnosis):
        return f"the given diagnosis is {diagnosis}, not {decision.given}, by now"
    return None
