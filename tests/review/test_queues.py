from __future__ import annotations

import pandas as pd

from pipeline.ledger.replay import replay
from pipeline.review.queues import Case, disputed, order_pairs, said_by
from tests.ledger.made import decision
from tests.stages.rebalance.made import images

DIAGNOSIS = {"b:1": "nevus", "b:2": "nevus", "b:3": "melanoma", "b:4": "nevus"}


def test_pairs_whose_labels_contradict_come_first_and_then_the_weakest_proof() -> None:
    edges = pd.DataFrame(
        [
            ("b:1", "b:2", "bytes", 1.0),
            ("b:1", "b:4", "geometry", 0.9),
            ("b:2", "b:4", "geometry", 0.5),
            ("b:2", "b:3", "geometry", 0.95),
            ("b:1", "b:3", "geometry", 0.6),
        ],
        columns=["a", "b", "evidence", "correlation"],
    )
    assert order_pairs(edges, DIAGNOSIS) == [
        ("b:1", "b:3"),
        ("b:2", "b:3"),
        ("b:2", "b:4"),
        ("b:1", "b:4"),
        ("b:1", "b:2"),
    ]


def test_a_case_of_a_pair_is_what_the_ledger_calls_it() -> None:
    assert Case(1, "b:2", "b:1").subject == ("b:1", "b:2")
    assert Case(1, "b:2").subject == ("b:2",)


def test_disputes_and_ones_own_come_from_the_ledger() -> None:
    known = images(4)
    name = known["image_id"].tolist()
    said = [
        decision(name[0], "drop", steward="A"),
        decision(name[1], "drop", steward="A"),
        decision(name[1], "not_sure", given=known["diagnosis"][1], steward="B"),
        decision(name[2], "drop", steward="B"),
    ]
    sha256 = dict(zip(name, known["sha256"], strict=True))
    said = [type(d)(**{**d.__dict__, "sha256": sha256[d.image_id]}) for d in said]
    assert disputed(said, replay(said, known)) == [(name[1],)]
    assert said_by(said, "a ") == [(name[1],), (name[0],)]
