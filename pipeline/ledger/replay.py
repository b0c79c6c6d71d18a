"""From all decisions ever made to those that hold for the images at hand.

Every line of the ledger ends in one state. The last word of each steward on an image or pair counts; where the last
words of stewards differ, the case is disputed and none of them holds, until one gives in, or another steward decides it
in the queue `disputes`. Control cases, whose answer is known, are asked to learn about the stewards and never applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from operator import itemgetter

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import CONTROL, DISPUTES, WITHDRAW, Decision

Subject = tuple[str, ...]

APPLIED, SUPERSEDED, WITHDRAWN = "applied", "superseded", "withdrawn"
DISPUTED, UNSIGNED = "disputed", "unsigned"
STALE, CONTROLS, LATER = "stale", "control", "later"
STATES = {
    APPLIED: "in force, or agrees with what is",
    SUPERSEDED: "overtaken by a later word of the same steward, or decided otherwise by a third",
    WITHDRAWN: "taken back, or takes back",
    DISPUTED: "another steward says otherwise: nothing holds until it is decided",
    UNSIGNED: "on validation or test, and waits for a second steward to say the same",
    STALE: "the image, its bytes or its given diagnosis are not what was decided on",
    CONTROLS: "a control case, never applied",
    LATER: "made after `replay.until`",
}


@dataclass(frozen=True)
class Stale:
    """A decision that does not hold any more; `seq` is its number in the file."""

    seq: int
    image_id: str
    why: str


@dataclass(frozen=True)
class Verdicts:
    """What the ledger comes to.

    images, pairs: the decisions in force, by image and by pair (image_ids in order).
    last: by image or pair, the last word of each steward, in the file's order; one that was taken back is not there.
    states: of every decision, in the file's order; one of `STATES`.
    stale: why those of that state are.
    """

    images: dict[str, Decision]
    pairs: dict[tuple[str, str], Decision]
    last: dict[Subject, list[Decision]]
    states: list[str]
    stale: list[Stale]

    def counts(self) -> dict[str, int]:
        """Count the decisions: recorded is the sum over all states."""
        counted = Counter(self.states)
        return {"recorded": len(self.states), **{state: counted[state] for state in STATES}}


def replay(
    decisions: Sequence[Decision],
    images: pd.DataFrame,
    *,
    until: datetime | None = None,
    protected_images: Collection[str] = (),
    protected_pairs: Collection[str] = (),
) -> Verdicts:
    """Find the state of every decision, and what is in force.

    Args:
        decisions: in the order of the file.
        images: image_id, sha256 and diagnosis of all images.
        until: later decisions are as if they were not there yet.
        protected_images: images on which a verdict needs two stewards who say the same.
        protected_pairs: images of which no pair may hold one without two stewards, likewise.

    """
    columns = (images[name].tolist() for name in ("image_id", "sha256", "diagnosis"))
    known = {image: (sha256, diagnosis) for image, sha256, diagnosis in zip(*columns, strict=True)}
    last: dict[Subject, dict[str, tuple[int, Decision]]] = {}
    states, stale = [SUPERSEDED] * len(decisions), []
    for i, decision in enumerate(decisions):
        if until is not None and _time(decision) > until:
            states[i] = LATER
        elif why := _why_stale(decision, known):
            states[i] = STALE
            stale.append(Stale(decision.seq, decision.image_id, why))
        elif decision.queue == CONTROL:
            states[i] = CONTROLS
        else:
            _hear(last.setdefault(decision.subject, {}), i, decision, states)
    in_force: dict[Subject, Decision] = {}
    words: dict[Subject, list[Decision]] = {}
    for subject, heard in last.items():
        said = sorted((word for word in heard.values() if word[1].verdict != WITHDRAW), key=itemgetter(0))
        if not said:
            continue
        words[subject] = [decision for _, decision in said]
        standing = _after_adjudication(said)
        protected = protected_images if len(subject) == 1 else protected_pairs
        single = _signatures(standing[-1][1], words[subject]) == 1
        if len({decision.meaning for _, decision in standing}) > 1:
            state = DISPUTED
        elif single and any(image in protected for image in subject):
            state = UNSIGNED
        else:
            state = APPLIED
            in_force[subject] = standing[-1][1]
        for i, _ in standing:
            states[i] = state
    return Verdicts(
        images={s[0]: d for s, d in in_force.items() if len(s) == 1},
        pairs={(s[0], s[1]): d for s, d in in_force.items() if len(s) > 1},
        last=words,
        states=states,
        stale=stale,
    )


def stewards(decisions: Sequence[Decision], until: datetime | None = None) -> list[str]:
    """List who decided up to then, by the name that each used last."""
    heard = (decision for decision in decisions if until is None or _time(decision) <= until)
    return sorted({decision.person: decision.steward for decision in heard}.values())


def read_until(text: str | None) -> datetime | None:
    """Read `replay.until`: a date (to the end of that day, UTC) or a time with its zone.

    Raises:
        UserError: it is neither.

    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is not None and len(text) == len("2026-01-31"):
        return datetime.combine(found.date(), time.max, UTC)
    if found is None or found.tzinfo is None:
        raise UserError(
            f"params.yaml: replay.until: {text!r} is neither a date nor a time with its zone: write it as "
            "'2026-01-31' or '2026-01-31T17:00:00+00:00'"
        )
    return found


def _hear(heard: dict[str, tuple[int, Decision]], i: int, decision: Decision, states: list[str]) -> None:
    """Take a steward's word on a case in the place of the word before it."""
    before = heard.get(decision.person)
    if before and decision.origin and _time(before[1]) > _time(decision):
        return  # a merge brought it in behind a later word
    if decision.verdict == WITHDRAW:
        states[i] = WITHDRAWN
        if before:
            states[before[0]] = WITHDRAWN
    heard[decision.person] = (i, decision)


def _after_adjudication(said: list[tuple[int, Decision]]) -> list[tuple[int, Decision]]:
    """Leave out the words before the last that a further steward said in the queue of disputes, knowing the others'."""
    standing: list[tuple[int, Decision]] = []
    for i, decision in said:
        disputed = len({other.meaning for _, other in standing}) > 1
        standing = [(i, decision)] if disputed and decision.queue == DISPUTES else [*standing, (i, decision)]
    return standing


def _signatures(decision: Decision, words: Sequence[Decision]) -> int:
    return len({word.person for word in words if word.meaning == decision.meaning})


def _time(decision: Decision) -> datetime:
    return datetime.fromisoformat(decision.decided_at)


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
