"""Why a label is doubted, or not, in words that a steward can check against the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.stages.label_noise.labelled import Array, Labelled
from pipeline.stages.label_noise.neighbours import NONE
from pipeline.stages.label_noise.suspects import NOBODY, Judgement


def reasons(labelled: Labelled, judgement: Judgement, *, judged: Array, rival: Array, neighbours: Array) -> list[str]:
    """Write one sentence an image.

    Args:
        labelled: images in scope.
        judgement: by the method in params.
        judged: (n,) false where the given diagnosis is too rare in train for an opinion.
        rival: (n,) a copy with another label, or `NOBODY`.
        neighbours: (n, k) positions of the nearest train images of other groups, or `NONE`.

    """
    given, suggested = labelled.names(labelled.given), labelled.names(judgement.suggested)
    return [
        "; ".join(_clauses(labelled, judgement, i, given=given, suggested=suggested, judged=judged, rival=rival))
        + _company(given, neighbours[i], str(given[i]), str(suggested[i]))
        for i in range(len(given))
    ]


def _clauses(
    labelled: Labelled, judgement: Judgement, i: int, *, given: Array, suggested: Array, judged: Array, rival: Array
) -> Iterator[str]:
    if rival[i] != NOBODY:
        yield f"its copy {labelled.image_id[rival[i]]} is labelled {given[rival[i]]}"
    shown = judgement.probabilities[i]
    best, own, first = int(judgement.suggested[i]), int(labelled.given[i]), int(judgement.probabilities[i].argmax())
    if best == own:
        rather = "" if first == own else f", though more like {labelled.classes[first]} ({shown[first]:.2f})"
        yield f"may well be {given[i]} ({shown[own]:.2f}) as labelled{rather}"
    else:
        yield f"looks like {labelled.classes[first]} ({shown[first]:.2f}) rather than {given[i]} ({shown[own]:.2f})"
    if best not in (own, first):  # that label is more often a mistake for another diagnosis
        yield f"so labelled, {suggested[i]} is likeliest ({judgement.verdict[i, best]:.2f})"
    if not judged[i]:
        yield f"{given[i]} has too few groups in train to be judged"


def _company(given: Array, neighbours: Array, own: str, suggested: str) -> str:
    """Say what the nearest train images are labelled."""
    labels = given[neighbours[neighbours != NONE]]
    if len(labels) == 0:
        return ""
    counts = {name: int(np.sum(labels == name)) for name in dict.fromkeys([suggested, own])}
    known = " and ".join(f"{count} {name}" for name, count in counts.items())
    return f"; of its {len(labels)} nearest train images {known}"
