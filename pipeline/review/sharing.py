"""How stewards share a queue out: a case is for one of them, but a few are read again by somebody who does not know.

    nobody else has decided it                  it is in the queue
    one other has, and two must                 it is in the queue
    one other has                               it is in the queue with probability `second`: a second read, for κ
    two others or more say the same             with probability `control`: a control case, for accuracy
    others disagree                             it is in the queue of disputes alone

The draw is a hash of seed, steward, queue and case, so it is the same tomorrow, whatever was decided meanwhile. What is
read again stands anywhere among the steward's own cases: were it where the queue has it, it would come first, because
others began there too. Nothing on the screen says which it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pipeline.ledger.agreement import control_cases, draw
from pipeline.ledger.decisions import Decision, person_of
from pipeline.ledger.replay import LATER, STALE, Subject, Verdicts
from pipeline.review.queues import Case


@dataclass(frozen=True)
class Shares:
    """How much is read again.

    second: of the cases that one other steward decided.
    control: of the cases on which two others or more agree.
    """

    second: float = 0.1
    control: float = 0.2


def share_out(
    cases: Sequence[Case],
    decisions: Sequence[Decision],
    verdicts: Verdicts,
    *,
    steward: str,
    queue: str,
    seed: int,
    shares: Shares,
    signed: Collection[str] = (),
) -> list[Case]:
    """Take from a queue what is for a steward, and mix what is to be read again into it.

    Args:
        cases: the whole queue in its order.
        decisions: the ledger, in the order of the file.
        verdicts: what it comes to.
        steward: who will read.
        queue: its name.
        seed: of the draws.
        shares: how much is read again.
        signed: images on which a verdict needs two stewards.

    """
    person, asked = person_of(steward), controls(decisions, verdicts, steward=steward)
    own, again = list[Case](), list[Case]()
    for case in cases:
        words = verdicts.last.get(case.subject, [])
        others = [word for word in words if word.person != person]
        if len(others) < len(words) or not others:
            own.append(case)
        elif len(others) == 1:
            needed = any(image in signed for image in case.subject)
            if needed or draw(case.subject, seed, person, queue, "second") < shares.second:
                again.append(case)
        elif case.subject in asked and draw(case.subject, seed, person, queue, "control") < shares.control:
            again.append(case)
    spread = [((i + 0.5) / len(own), case) for i, case in enumerate(own)]
    spread += [(draw(case.subject, seed, person, queue, "place"), case) for case in again]
    mixed = sorted(spread, key=lambda item: (item[0], item[1].place))
    return [replace(case, place=place) for place, (_, case) in enumerate(mixed, start=1)]


def controls(decisions: Sequence[Decision], verdicts: Verdicts, *, steward: str) -> set[Subject]:
    """List the cases that are control cases for a steward: others agree on them, and he has not said a word of them.

    What he says of one in a queue that he reads blind is recorded as an answer to a control case.
    """
    pairs = zip(decisions, verdicts.states, strict=True)
    agreed = control_cases([decision for decision, state in pairs if state not in {STALE, LATER}])
    person, found = person_of(steward), set[Subject]()
    for subject in agreed.keys() & verdicts.last.keys():
        words = verdicts.last[subject]
        if len(words) > 1 and len({word.meaning for word in words}) == 1 and person not in {w.person for w in words}:
            found.add(subject)
    return found
