"""Cohen's κ = (p_o - p_e) / (1 - p_e) between stewards, and each steward's accuracy on control cases.

Two stewards who read the same cases without knowing of each other agree in a share p_o; by chance alone they would in
p_e. What was decided in the queue of disputes, or where all images are shown with all verdicts, is left out: there,
each knows what the other said. Control cases are those on which two stewards agreed earlier; what a further steward
says on them counts here and is never applied.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from pipeline.core.grouping import hashed_share
from pipeline.ledger.decisions import BROWSING, CONTROL, DISPUTES, WITHDRAW, Decision

RESAMPLES = 1000
Subject = tuple[str, ...]
Meaning = tuple[str, str]


@dataclass(frozen=True)
class Kappa:
    """How two stewards agree beyond chance; `kappa`, `low` and `high` are None where chance alone would do it too."""

    stewards: tuple[str, str]
    cases: int
    agreed: int
    kappa: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Accuracy:
    """In what share of the control cases a steward says what had been agreed, with its interval."""

    steward: str
    cases: int
    right: int
    low: float
    high: float


def kappas(decisions: Sequence[Decision], *, confidence: float, rng: np.random.Generator) -> list[Kappa]:
    """Compare every two stewards on the cases that both read; the interval is a percentile bootstrap over cases.

    Args:
        decisions: in the order of the file.
        confidence: of the interval.
        rng: of the resamples.

    """
    read = _independent(decisions)
    names = {decision.person: decision.steward for decision in decisions}
    found = []
    for one, other in combinations(sorted({person for said in read.values() for person in said}), 2):
        pairs = [(said[one], said[other]) for said in read.values() if one in said and other in said]
        if pairs:
            agreed = sum(a == b for a, b in pairs)
            kappa, low, high = _kappa(pairs, confidence=confidence, rng=rng)
            found.append(Kappa((names[one], names[other]), len(pairs), agreed, kappa, low, high))
    return found


def accuracies(decisions: Sequence[Decision], *, confidence: float) -> list[Accuracy]:
    """Hold each steward's last word on each control case against what two had agreed on before; Wilson's interval.

    Args:
        decisions: in the order of the file.
        confidence: of the interval.

    """
    answers = control_cases(decisions)
    names = {decision.person: decision.steward for decision in decisions}
    right: dict[str, list[bool]] = {}
    for person in names:
        words = control_words(decisions, person)
        said = [word.meaning == answers[subject] for subject, word in words.items() if subject in answers]
        if said:
            right[person] = said
    found = []
    for person, said in sorted(right.items()):
        low, high = wilson(sum(said), len(said), confidence=confidence)
        found.append(Accuracy(names[person], len(said), sum(said), low, high))
    return found


def control_cases(decisions: Sequence[Decision]) -> dict[Subject, Meaning]:
    """List the cases on which two stewards or more said the same, and nobody else otherwise, with verdict and `to`."""
    agreed = {}
    for subject, said in _independent(decisions).items():
        meanings = set(said.values())
        if len(said) > 1 and len(meanings) == 1:
            agreed[subject] = next(iter(meanings))
    return agreed


def wilson(count: int, total: int, *, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share `count / total`; `total` is above 0."""
    interval = binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def control_words(decisions: Sequence[Decision], person: str) -> dict[Subject, Decision]:
    """List somebody's last word on each control case, unless it was taken back.

    Args:
        decisions: in the order of the file.
        person: by `person_of`.

    """
    words: dict[Subject, Decision] = {}
    for decision in decisions:
        if decision.queue == CONTROL and decision.person == person:
            words[decision.subject] = decision
    return {subject: word for subject, word in words.items() if word.verdict != WITHDRAW}


def draw(subject: Subject, *salt: object) -> float:
    """Hash a case to a number in [0, 1), uniform over cases and the same for ever; another salt is another draw."""
    return hashed_share(repr((salt, subject)))


def _independent(decisions: Sequence[Decision]) -> dict[Subject, dict[str, Meaning]]:
    """Take each steward's last word on each case that was said without knowing the others'."""
    read: dict[Subject, dict[str, Meaning]] = {}
    for decision in decisions:
        said = read.setdefault(decision.subject, {})
        if decision.verdict == WITHDRAW:
            said.pop(decision.person, None)
        elif decision.queue not in {CONTROL, DISPUTES, BROWSING}:
            said[decision.person] = decision.meaning
    return read


def _kappa(
    pairs: Sequence[tuple[Meaning, Meaning]], *, confidence: float, rng: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    codes = {meaning: code for code, meaning in enumerate(sorted({meaning for pair in pairs for meaning in pair}))}
    read = np.array([[codes[a], codes[b]] for a, b in pairs])

    def score(sample: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one verdict only, where κ is 0 / 0
            return float(cohen_kappa_score(sample[:, 0], sample[:, 1])) if len(np.unique(sample)) > 1 else np.nan

    point = score(read)
    if np.isnan(point):
        return None, None, None
    drawn = np.array([score(read[rng.integers(len(read), size=len(read))]) for _ in range(RESAMPLES)])
    tail = (1 - confidence) / 2
    return point, float(np.nanquantile(drawn, tail)), float(np.nanquantile(drawn, 1 - tail))
