from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from pipeline.ledger.agreement import accuracies, control_cases, control_words, draw, kappas
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


def test_the_last_answer_to_a_control_case_counts() -> None:
    agreed = reads("kkk", **A) + reads("kkk", **B)
    asked = reads("dkk", steward="C", queue="control") + reads("k", steward="C", queue="control")
    taken_back = decision("b:1", "withdraw", steward="C", queue="control")
    [found] = accuracies([*agreed, *asked, taken_back], confidence=0.95)
    assert (found.cases, found.right) == (2, 2)
    assert control_words([*asked, taken_back], "c").keys() == {("b:0",), ("b:2",)}


def test_what_was_said_where_all_verdicts_are_shown_says_nothing_about_agreement() -> None:
    assert kappas(reads("kd", **A) + reads("kd", queue="all", **B), confidence=0.95, rng=np.random.default_rng(0)) == []


def test_a_draw_is_uniform_over_cases_and_another_one_for_another_salt() -> None:
    subjects = [(f"b:{i}",) for i in range(4000)]
    one, other = (np.array([draw(subject, 0, person, "labels") for subject in subjects]) for person in "ab")
    assert np.histogram(one, bins=4, range=(0, 1))[0] == pytest.approx(1000, abs=120)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert one.tolist() == [draw(subject, 0, "a", "labels") for subject in subjects]
