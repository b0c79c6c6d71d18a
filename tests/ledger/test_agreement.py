from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from pipeline.ledger.agreement import accuracies, control_cases, draw_cases, kappas, unread
from pipeline.ledger.decisions import Decision
from tests.ledger.made import decision

A, B = {"steward": "A"}, {"steward": "B"}


def reads(verdicts: str, **fields: str) -> list[Decision]:
    """Decide case by case: k keeps, d drops, a space passes on."""
    names = {"k": "keep", "d": "drop"}
    return [decision(f"b:{i}", names[v], **fields) for i, v in enumerate(verdicts) if v in names]


def test_kappa_is_that_of_scikit_learn_with_an_interval_around_it() -> None:
    one, other = "kkkkkkkkdddddddd" * 5, "kkkkkkdddddddddk" * 5
    [found] = kappas(reads(one, **A) + reads(other, **B), confidence=0.95, rng=np.random.default_rng(0))
    assert found.kappa == pytest.approx(cohen_kappa_score(list(one), list(other)))
    assert isinstance(found.kappa, float)
    assert isinstance(found.low, float)
    assert isinstance(found.high, float)
    assert found.low < found.kappa < found.high
    assert (found.stewards, found.cases, found.agreed) == (("A", "B"), 80, 65)


def test_kappa_is_none_where_everybody_always_says_the_same() -> None:
    [found] = kappas(reads("kkk", **A) + reads("kkk", **B), confidence=0.95, rng=np.random.default_rng(0))
    assert (found.kappa, found.low, found.high, found.agreed) == (None, None, None, 3)


def test_what_was_decided_in_the_queue_of_disputes_says_nothing_about_agreement() -> None:
    made = reads("kd", **A) + reads("dd", **B) + [decision("b:0", "drop", queue="disputes", **A)]
    [found] = kappas(made, confidence=0.95, rng=np.random.default_rng(0))
    assert (found.cases, found.agreed) == (2, 1)


def test_control_cases_are_those_on_which_two_stewards_agree() -> None:
    made = reads("kdk", **A) + reads("kk", **B) + [decision("b:0", "keep", steward="C")]
    assert control_cases(made) == {("b:0",): ("keep", "")}


def test_accuracy_is_what_a_steward_says_on_control_cases() -> None:
    agreed = reads("kkdd", **A) + reads("kkdd", **B)
    asked = reads("kddd", steward="C", queue="control")
    [found] = accuracies(agreed + asked, confidence=0.95)
    assert (found.steward, found.cases, found.right) == ("C", 4, 3)
    assert 0 < found.low < 0.75 < found.high < 1
    assert control_cases(agreed + asked) == control_cases(agreed)


def test_a_second_reader_gets_what_others_decided_and_he_has_not() -> None:
    made = [*reads("kkk", **A), *reads(" k", **B), decision("b:2", "withdraw", **A)]
    assert unread(made, "b") == [("b:0",)]
    assert unread(made, "C") == [("b:0",), ("b:1",)]


def test_a_share_of_cases_is_drawn() -> None:
    subjects = [(f"b:{i}",) for i in range(40)]
    drawn = draw_cases(subjects, share=0.25, rng=np.random.default_rng(0))
    assert len(set(drawn)) == 10
    assert set(drawn) <= set(subjects)
    assert len(draw_cases(subjects[:1], share=0.1, rng=np.random.default_rng(0))) == 1
    assert draw_cases([], share=0.1, rng=np.random.default_rng(0)) == []
