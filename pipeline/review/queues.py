"""The queues of cases, each in the order in which a person should see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.core.store import Store
from pipeline.ledger.decisions import BROWSING, DISPUTES, Decision, person_of
from pipeline.ledger.replay import DISPUTED, Verdicts
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.label_noise.tables import AuditSample, OffTopicQueue, SuspectQueue

LABELS, PAIRS, OFF_TOPIC, AUDIT, MINE = "labels", "pairs", "off-topic", "audit", "mine"
SHARED = (LABELS, PAIRS, OFF_TOPIC, AUDIT)  # that stewards share out among them; each reads blind
OPEN = (DISPUTES, BROWSING)  # where each sees what the others said
EVIDENCE = ("geometry", "pixels", "bytes")  # the weakest proof first


@dataclass(frozen=True)
class Case:
    """What is decided at once: an image, or the pair of it and another; `place` 1 is first."""

    place: int
    image_id: str
    other: str = ""

    @property
    def subject(self) -> tuple[str, ...]:
        """What the ledger calls it."""
        return tuple(sorted((self.image_id, self.other))) if self.other else (self.image_id,)


def read_queue(
    store: Store, name: str, *, steward: str, verdicts: Verdicts, decisions: Sequence[Decision], facts: pd.DataFrame
) -> list[Case]:
    """Read the cases of a queue in their order.

    Args:
        store: the project.
        name: one of `QUEUES`.
        steward: whose own decisions `mine` lists.
        verdicts: what the ledger comes to.
        decisions: the ledger, in the order of the file.
        facts: image_id, diagnosis, duplicate_of (after the stewards' pair verdicts) of all images.

    Raises:
        UserError: `dedup` or `label_noise` has not run.

    """
    copies = set(facts.loc[facts["duplicate_of"].notna(), "image_id"])
    diagnosis = dict(zip(facts["image_id"], facts["diagnosis"], strict=True))
    readers: dict[str, Callable[[], Iterable[tuple[str, ...]]]] = {
        LABELS: lambda: _without(copies, store.read(SuspectQueue)),
        PAIRS: lambda: order_pairs(store.read(Duplicates), diagnosis),
        OFF_TOPIC: lambda: _without(copies, store.read(OffTopicQueue)),
        AUDIT: lambda: _without(copies, store.read(AuditSample)),
        DISPUTES: lambda: disputed(decisions, verdicts),
        MINE: lambda: said_by(decisions, steward),
        BROWSING: lambda: ((image,) for image in facts["image_id"]),
    }
    subjects = (subject for subject in readers[name]() if set(subject) <= diagnosis.keys())
    return [Case(place, *subject) for place, subject in enumerate(subjects, start=1)]


def order_pairs(duplicates: pd.DataFrame, diagnosis: Mapping[str, str]) -> list[tuple[str, str]]:
    """Order edges: those whose labels contradict each other first, then by their proof, the weakest first.

    Args:
        duplicates: the table Duplicates.
        diagnosis: as given, by image_id.

    """
    frame = duplicates.assign(
        agree=duplicates["a"].map(diagnosis) == duplicates["b"].map(diagnosis),
        proof=duplicates["evidence"].map({name: i for i, name in enumerate(EVIDENCE)}),
    )
    ordered = frame.sort_values(["agree", "proof", "correlation", "a", "b"])
    return list(zip(ordered["a"], ordered["b"], strict=True))


def disputed(decisions: Sequence[Decision], verdicts: Verdicts) -> list[tuple[str, ...]]:
    """List what stewards see otherwise, the oldest dispute first."""
    states = zip(decisions, verdicts.states, strict=True)
    return list(dict.fromkeys(decision.subject for decision, state in states if state == DISPUTED))


def said_by(decisions: Sequence[Decision], steward: str) -> list[tuple[str, ...]]:
    """List what a steward decided on, the latest first."""
    person = person_of(steward)
    return list(dict.fromkeys(decision.subject for decision in reversed(decisions) if decision.person == person))


def _without(copies: set[str], queue: pd.DataFrame) -> list[tuple[str]]:
    ordered = queue.sort_values("place")["image_id"]
    return [(image,) for image in ordered if image not in copies]


QUEUES = (*SHARED, DISPUTES, MINE, BROWSING)
