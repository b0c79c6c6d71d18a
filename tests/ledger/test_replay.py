from __future__ import annotations

import pandas as pd

from pipeline.ledger.replay import replay
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
