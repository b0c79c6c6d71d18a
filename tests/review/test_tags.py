from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.ledger.decisions import Decision, find_problem
from pipeline.ledger.replay import Verdicts, replay
from pipeline.review.tags import BULK, Outcome, Tag, decide, in_bulk

FACTS = pd.DataFrame(
    {
        "image_id": ["b:1", "b:2", "b:3", "b:4"],
        "sha256": ["sha 1", "sha 2", "sha 3", "sha 4"],
        "diagnosis": ["nevus", "nevus", "melanoma", "nevus"],
        "duplicate_of": [None, "b:1", None, None],
    }
)
STEWARD = "Dr. A. Nurse"
NOTHING = Verdicts({}, {}, {}, [], [])


def outcome(tags: dict[str, list[str]], verdicts: Verdicts = NOTHING) -> Outcome:
    own = {subject: word for subject, words in verdicts.last.items() for word in words if word.steward == STEWARD}
    return decide(
        FACTS,
        tags,
        own,
        diagnoses={"nevus", "melanoma"},
        queue="labels",
        steward=STEWARD,
        decided_at="2026-01-02T03:04:05+00:00",
    )


def said(decision: Decision) -> tuple[str, str, str, str, str, str]:
    d = decision
    return d.image_id, d.other_image_id, d.verdict, d.given, d.to, d.queue


def test_each_tag_becomes_its_decision() -> None:
    found = outcome({"b:1": ["keep"], "b:2": ["drop"], "b:3": ["relabel:nevus"], "b:4": ["not_sure"]})
    assert [said(d) for d in found.decisions] == [
        ("b:1", "", "keep", "nevus", "", "labels"),
        ("b:2", "", "drop", "", "", "labels"),
        ("b:3", "", "relabel", "melanoma", "nevus", "labels"),
        ("b:4", "", "not_sure", "nevus", "", "labels"),
    ]
    assert [d.sha256 for d in found.decisions] == ["sha 1", "sha 2", "sha 3", "sha 4"]
    assert [find_problem(d) for d in found.decisions] == [None] * 4
    assert found.problems == []


def test_a_pair_tag_on_a_copy_means_the_image_that_it_copies() -> None:
    found = outcome({"b:2": ["not_a_duplicate"]})
    assert [said(d) for d in found.decisions] == [("b:2", "b:1", "not_a_duplicate", "", "", "labels")]


def test_a_pair_tag_may_name_the_other_image() -> None:
    found = outcome({"b:3": ["same_lesion:b:4"]})
    assert [said(d) for d in found.decisions] == [("b:3", "b:4", "same_lesion", "", "", "labels")]


def test_an_image_verdict_and_a_pair_verdict_go_together() -> None:
    assert [d.verdict for d in outcome({"b:2": ["keep", "same_lesion"]}).decisions] == ["same_lesion", "keep"]


def test_tags_of_ones_own_are_left_alone() -> None:
    found = outcome({"b:1": ["ask Ann", "bookkeeping", "train"]})
    assert (found.decisions, found.settled, found.problems) == ([], [], [])


def test_what_is_recorded_is_not_recorded_again_but_settled() -> None:
    tags = {"b:2": ["not_a_duplicate"], "b:3": ["relabel:nevus"]}
    first = outcome(tags)
    second = outcome(tags, replay(first.decisions, FACTS))
    assert len(first.decisions) == 2
    assert second.decisions == []
    assert second.settled == first.settled == [Tag("b:2", "not_a_duplicate"), Tag("b:3", "relabel:nevus")]


def test_another_verdict_than_the_recorded_one_is_recorded() -> None:
    before = replay(outcome({"b:1": ["keep"]}).decisions, FACTS)
    assert [d.verdict for d in outcome({"b:1": ["drop"]}, before).decisions] == ["drop"]


def test_a_second_steward_who_says_the_same_signs() -> None:
    before = replay([replace(d, steward="B") for d in outcome({"b:1": ["keep"]}).decisions], FACTS)
    assert [d.verdict for d in outcome({"b:1": ["keep"]}, before).decisions] == ["keep"]


def test_a_verdict_is_withdrawn_by_a_tag_once() -> None:
    first = outcome({"b:1": ["keep"], "b:2": ["not_a_duplicate"]}).decisions
    taken = outcome({"b:1": ["withdraw"], "b:2": ["withdraw:b:1"], "b:3": ["withdraw"]}, replay(first, FACTS))
    assert [said(d)[:3] for d in taken.decisions] == [("b:1", "", "withdraw"), ("b:2", "b:1", "withdraw")]
    assert [find_problem(d) for d in taken.decisions] == [None, None]
    assert len(taken.settled) == 3, "there was nothing to take back of b:3"


def test_a_missed_copy_is_declared_by_a_tag() -> None:
    found = outcome({"b:4": ["copy_of:b:1"]})
    assert [said(d) for d in found.decisions] == [("b:4", "b:1", "copy_of", "", "", "labels")]


def test_contradicting_tags_are_refused_and_stay() -> None:
    found = outcome({"b:1": ["drop", "keep"], "b:4": ["drop"]})
    assert [d.image_id for d in found.decisions] == ["b:4"]
    assert found.settled == [Tag("b:4", "drop")]
    assert found.problems == ["b:1: drop and keep contradict each other: leave one"]


def test_two_ends_of_a_pair_that_say_the_same_make_one_decision() -> None:
    found = outcome({"b:1": ["same_lesion:b:4"], "b:4": ["same_lesion:b:1"]})
    assert len(found.decisions) == 1
    assert len(found.settled) == 2


def test_tags_that_make_no_sense_are_named() -> None:
    tags = {
        "b:1": ["not_a_duplicate", "same_lesion:b:9", "same_lesion:b:1"],
        "b:2": ["relabel:wart"],
        "b:3": ["relabel", "relabel:melanoma"],
        "b:4": ["drop:now"],
    }
    found = outcome(tags)
    assert found.decisions == []
    assert found.settled == []
    assert [problem.partition(": ")[2].split(" ")[0] for problem in found.problems] == [
        "not_a_duplicate",
        "same_lesion:b:1",
        "same_lesion:b:9",
        "relabel:wart",
        "relabel",
        "relabel:melanoma",
        "drop:now",
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("kepe", "keep"),
        ("Drop", "drop"),
        ("not sure", "not_sure"),
        ("not-a-duplicat", "not_a_duplicate"),
        ("relable:nevus", "relabel"),
        ("relabel nevus", "relabel"),
        ("keeper", "keep"),
    ],
)
def test_a_tag_that_looks_like_a_verdict_is_named_and_stays(text: str, meant: str) -> None:
    found = outcome({"b:1": [text]})
    assert (found.decisions, found.settled) == ([], [])
    assert [problem.partition(",")[0] for problem in found.problems] == [f"b:1: {text} looks like {meant}"]


def test_a_verdict_on_very_many_images_is_not_taken_for_meant() -> None:
    tags = {f"b:{i}": ["drop", "ask Ann"] for i in range(BULK + 1)} | {"b:0": ["keep"]}
    assert in_bulk(tags) == []
    assert in_bulk(tags | {"b:99": ["drop"]}) == ["drop"]
