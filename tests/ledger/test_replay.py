from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import Decision
from pipeline.ledger.replay import read_until, replay
from tests.ledger.made import decision, numbered

IMAGES = pd.DataFrame(
    {
        "image_id": ["b:1", "b:2", "b:3"],
        "sha256": ["sha of b:1", "sha of b:2", "sha of b:3"],
        "diagnosis": ["nevus", "nevus", "nevus"],
    }
)


def test_the_last_decision_on_an_image_holds() -> None:
    last = decision("b:1", "keep")
    found = replay([decision("b:1", "drop"), decision("b:2", "drop"), last], IMAGES)
    assert found.images == {"b:1": last, "b:2": decision("b:2", "drop")}
    assert found.states == ["superseded", "applied", "applied"]
    assert {name: count for name, count in found.counts().items() if count} == {
        "recorded": 3,
        "applied": 2,
        "superseded": 1,
    }


def test_the_last_decision_on_a_pair_holds_in_either_order() -> None:
    last = decision("b:2", "not_a_duplicate", other_image_id="b:1")
    found = replay([decision("b:1", "same_lesion", other_image_id="b:2"), last], IMAGES)
    assert found.pairs == {("b:1", "b:2"): last}
    assert found.states == ["superseded", "applied"]


def test_a_pair_verdict_leaves_the_verdict_on_the_image_alone() -> None:
    found = replay([decision("b:1", "keep"), decision("b:1", "same_lesion", other_image_id="b:2")], IMAGES)
    assert set(found.images) == {"b:1"}
    assert set(found.pairs) == {("b:1", "b:2")}


def test_a_decision_on_changed_bytes_is_stale() -> None:
    found = replay(numbered([decision("b:1", "drop", sha256="another")]), IMAGES)
    assert found.images == {}
    assert [(stale.seq, stale.image_id, stale.why) for stale in found.stale] == [
        (2, "b:1", "the image's bytes changed"),
    ]


def test_a_decision_on_an_unknown_image_is_stale() -> None:
    gone = [decision("b:9", "drop"), decision("b:1", "same_lesion", other_image_id="b:9")]
    assert [stale.seq for stale in replay(numbered(gone), IMAGES).stale] == [2, 3]


def test_a_verdict_on_a_label_that_is_no_longer_given_is_stale() -> None:
    found = replay([decision("b:1", "relabel", given="melanoma", to="nevus"), decision("b:2", "drop")], IMAGES)
    assert set(found.images) == {"b:2"}
    assert found.stale[0].why == "the given diagnosis is nevus, not melanoma, by now"


def test_a_stale_decision_does_not_overtake_one_that_holds() -> None:
    found = replay([decision("b:1", "drop"), decision("b:1", "keep", sha256="another")], IMAGES)
    assert found.images["b:1"].verdict == "drop"


A, B, C = {"steward": "A"}, {"steward": "B"}, {"steward": "C"}


def test_another_stewards_other_verdict_makes_a_dispute_in_which_nothing_holds() -> None:
    found = replay([decision("b:1", "drop", **A), decision("b:1", "keep", **B), decision("b:2", "drop", **B)], IMAGES)
    assert set(found.images) == {"b:2"}
    assert found.states == ["disputed", "disputed", "applied"]


def test_two_stewards_who_say_the_same_agree() -> None:
    found = replay([decision("b:1", "drop", **A), decision("b:1", "drop", **B)], IMAGES)
    assert found.images["b:1"].steward == "B"
    assert found.states == ["applied", "applied"]


@pytest.mark.parametrize(
    ("last", "holds", "states"),
    [
        (decision("b:1", "keep", **A), "keep", ["superseded", "applied", "applied"]),
        (decision("b:1", "withdraw", **A), "keep", ["withdrawn", "applied", "withdrawn"]),
        (decision("b:1", "withdraw", **B), "drop", ["applied", "withdrawn", "withdrawn"]),
        (decision("b:1", "not_sure", queue="disputes", **C), "not_sure", ["superseded", "superseded", "applied"]),
        (decision("b:1", "not_sure", **C), None, ["disputed", "disputed", "disputed"]),
        (decision("b:1", "not_sure", queue="disputes", **A), None, ["superseded", "disputed", "disputed"]),
    ],
    ids=["one gives in", "one withdraws", "the other withdraws", "a third decides", "a third joins", "one insists"],
)
def test_a_dispute_ends(last: Decision, holds: str | None, states: list[str]) -> None:
    found = replay([decision("b:1", "drop", **A), decision("b:1", "keep", **B), last], IMAGES)
    assert {image: d.verdict for image, d in found.images.items()} == ({"b:1": holds} if holds else {})
    assert found.states == states


def test_who_disagrees_with_what_a_third_decided_opens_the_dispute_again() -> None:
    made = [decision("b:1", "drop", **A), decision("b:1", "keep", **B), decision("b:1", "drop", queue="disputes", **C)]
    assert replay([*made, decision("b:1", "keep", steward="D")], IMAGES).images == {}


def test_one_steward_under_two_spellings_is_one_person() -> None:
    found = replay([decision("b:1", "drop", steward="Dr.  a"), decision("b:1", "keep", steward="Dr. A")], IMAGES)
    assert found.images["b:1"].verdict == "keep"


def test_a_withdrawn_verdict_is_as_if_it_had_not_been_and_can_be_passed_again() -> None:
    taken = [decision("b:1", "drop", **A), decision("b:1", "withdraw", **A)]
    assert replay(taken, IMAGES).images == {}
    assert replay(taken, IMAGES).states == ["withdrawn", "withdrawn"]
    assert replay([*taken, decision("b:1", "keep", **A)], IMAGES).images["b:1"].verdict == "keep"


def test_a_pair_verdict_is_withdrawn_from_either_side() -> None:
    made = [
        decision("b:1", "same_lesion", other_image_id="b:2", **A),
        decision("b:1", "keep", **A),
        decision("b:2", "withdraw", other_image_id="b:1", **A),
    ]
    found = replay(made, IMAGES)
    assert found.pairs == {}
    assert set(found.images) == {"b:1"}


def test_control_cases_are_never_applied() -> None:
    found = replay([decision("b:1", "drop", queue="control", **A), decision("b:2", "drop", **A)], IMAGES)
    assert set(found.images) == {"b:2"}
    assert found.states == ["control", "applied"]


def test_a_verdict_on_a_protected_image_waits_for_a_second_steward() -> None:
    one, two = decision("b:1", "drop", **A), decision("b:2", "drop", **A)
    found = replay([one, two], IMAGES, protected_images={"b:1"})
    assert (set(found.images), found.states) == ({"b:2"}, ["unsigned", "applied"])
    twice = replay([one, two, replace(one, decided_at="2026-02-02T00:00:00+00:00")], IMAGES, protected_images={"b:1"})
    assert set(twice.images) == {"b:2"}, "the same steward signs once"
    assert set(replay([one, two, decision("b:1", "drop", **B)], IMAGES, protected_images={"b:1"}).images) == {
        "b:1",
        "b:2",
    }


def test_a_pair_with_a_protected_image_waits_too() -> None:
    one = decision("b:1", "same_lesion", other_image_id="b:2", **A)
    other = decision("b:2", "same_lesion", other_image_id="b:1", **B)
    assert replay([one], IMAGES, protected_pairs={"b:2"}).pairs == {}
    assert set(replay([one, other], IMAGES, protected_pairs={"b:2"}).pairs) == {("b:1", "b:2")}


def test_later_decisions_are_as_if_they_were_not_there_yet() -> None:
    made = [decision("b:1", "drop", decided_at=f"2026-01-0{day}T12:00:00+02:00") for day in (1, 2, 3)]
    made[1] = replace(made[1], verdict="withdraw")
    assert replay(made, IMAGES, until=read_until("2026-01-01")).states == ["applied", "later", "later"]
    assert replay(made, IMAGES, until=read_until("2026-01-02")).images == {}
    assert set(replay(made, IMAGES, until=read_until("2026-01-03T10:00:00+00:00")).images) == {"b:1"}
    assert set(replay(made, IMAGES, until=read_until(None)).images) == {"b:1"}


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-01-01T10:00:00", "2026-01"])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"replay\.until"):
        read_until(text)


def test_an_older_decision_that_a_merge_brings_in_late_does_not_overtake() -> None:
    new = decision("b:1", "keep", decided_at="2026-03-01T00:00:00+00:00")
    merged = decision("b:1", "drop", decided_at="2026-02-01T00:00:00+00:00", origin="ab")
    assert replay([new, merged], IMAGES).images == {"b:1": new}
    assert replay([new, replace(merged, origin="")], IMAGES).images["b:1"].verdict == "drop", "clocks go wrong"


@pytest.mark.parametrize("seed", range(20))
def test_every_decision_ends_in_one_state(seed: int) -> None:
    rng = np.random.default_rng(seed)
    verdicts, queues = ("keep", "relabel", "drop", "not_sure", "withdraw"), ("labels", "disputes", "control")
    made = [
        decision(
            f"b:{rng.integers(1, 5)}",
            verdicts[rng.integers(5)],
            steward="ABC"[rng.integers(3)],
            queue=queues[min(int(rng.integers(6)), 2)],
            decided_at=f"2026-01-{i % 28 + 1:02d}T00:00:00+00:00",
        )
        for i in range(60)
    ]
    found = replay(made, IMAGES, until=read_until("2026-01-20"), protected_images={"b:1"})
    counts = found.counts()
    assert counts.pop("recorded") == sum(counts.values()) == 60
    for i, state in enumerate(found.states):
        if state == "applied":
            assert found.images[made[i].image_id].verdict == made[i].verdict
