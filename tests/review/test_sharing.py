from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.ledger import file
from pipeline.ledger.agreement import accuracies, kappas
from pipeline.ledger.decisions import CONTROL, PATH, Decision
from pipeline.ledger.replay import APPLIED, CONTROLS, replay
from pipeline.review.keys import Press
from pipeline.review.queues import LABELS, MINE, Case
from pipeline.review.sharing import Shares, controls, share_out
from tests.ledger.made import decision
from tests.review.made import project
from tests.review.test_desk import desk

COUNT = 400
CASES = [Case(place, f"b:{place}") for place in range(1, COUNT + 1)]
IMAGES = pd.DataFrame({"image_id": [case.image_id for case in CASES]}).assign(diagnosis="nevus")
IMAGES["sha256"] = "sha of " + IMAGES["image_id"]
ALL, NONE = Shares(1.0, 1.0), Shares(0.0, 0.0)


def reads(steward: str, places: range, verdict: str = "keep") -> list[Decision]:
    return [decision(f"b:{place}", verdict, steward=steward) for place in places]


def shared(decisions: list[Decision], steward: str, shares: Shares, *, seed: int = 0, **more: set[str]) -> list[str]:
    verdicts = replay(decisions, IMAGES)
    named = {"steward": steward, "queue": LABELS}
    cases = share_out(CASES, decisions, verdicts, **named, seed=seed, shares=shares, signed=more.get("signed", set()))
    assert [case.place for case in cases] == list(range(1, len(cases) + 1))
    return [case.image_id for case in cases]


def test_who_reads_alone_gets_the_whole_queue_in_its_order() -> None:
    whole = [case.image_id for case in CASES]
    assert shared([], "A", Shares()) == whole
    assert shared(reads("A", range(1, 200)), " a ", Shares()) == whole


def test_a_share_of_what_another_decided_is_read_again_anywhere_in_the_queue() -> None:
    made = reads("A", range(1, 201))
    fresh = {f"b:{place}" for place in range(201, COUNT + 1)}
    found = shared(made, "B", Shares(second=0.25))
    again = [image for image in found if image not in fresh]
    assert fresh <= set(found)
    assert 35 <= len(again) <= 65
    assert [image for image in found if image in fresh] == [f"b:{place}" for place in range(201, COUNT + 1)]
    places = [found.index(image) / len(found) for image in again]
    assert min(places) < 0.2
    assert max(places) > 0.8
    assert set(shared(made, "B", NONE)) == fresh
    assert len(shared(made, "B", ALL)) == COUNT


def test_the_draw_holds_while_the_ledger_grows_and_is_anothers_for_another() -> None:
    def again(made: list[Decision], steward: str, seed: int = 0) -> set[str]:
        first = {f"b:{place}" for place in range(1, 101)}
        return set(shared(made, steward, Shares(second=0.25), seed=seed)) & first

    made = reads("A", range(1, 101))
    assert again(made, "B") == again([*made, *reads("A", range(101, 201))], "B")
    assert again(made, "B") != again(made, "C")
    assert again(made, "B") != again(made, "B", seed=1)


def test_what_needs_a_second_signature_is_read_by_a_second_steward() -> None:
    found = shared(reads("A", range(1, 11)), "B", NONE, signed={"b:3", "b:7", "b:200"})
    assert {"b:3", "b:7"} == set(found) & {f"b:{place}" for place in range(1, 11)}


def test_what_two_agree_on_is_a_control_case_for_a_third_and_what_they_dispute_is_not_asked() -> None:
    made = [*reads("A", range(1, 101)), *reads("B", range(1, 51)), *reads("B", range(51, 101), "drop")]
    agreed = {f"b:{place}" for place in range(1, 51)}
    known = controls(made, replay(made, IMAGES), steward="C")
    assert {subject[0] for subject in known} == agreed
    assert controls(made, replay(made, IMAGES), steward="A") == set()
    first = {f"b:{place}" for place in range(1, 101)}
    assert set(shared(made, "C", ALL)) & first == agreed
    assert 4 <= len(set(shared(made, "C", Shares())) & first) <= 18


def test_a_control_case_looks_like_any_other_and_is_never_applied(tmp_path: Path) -> None:
    project(tmp_path)
    alone = desk(tmp_path, LABELS, "C")
    image = next(case.image_id for case in alone.cases.values() if alone.tables.scores[case.image_id]["suspect"])
    place = next(place for place, case in alone.cases.items() if case.image_id == image)
    shown, progress = alone.describe(place), alone.progress()
    expected = alone.press([place], Press("keep", reason="plain to see"))
    alone.press([place], Press("withdraw"))

    for steward in ("A", "B"):
        other = desk(tmp_path, LABELS, steward)
        places = {case.image_id: at for at, case in other.cases.items()}
        assert other.press([places[image]], Press("drop", reason="shows no lesion")).recorded == 1
    asked = desk(tmp_path, LABELS, "C")
    [at] = [at for at, case in asked.cases.items() if case.image_id == image]
    assert (asked.describe(at).partition("earlier")[0], asked.progress()) == (shown + "\n\n", progress)
    assert asked.said(asked.cases[at]) is None
    answer = asked.press([at], Press("keep", reason="plain to see"))
    assert answer.message == expected.message, "nothing tells that others have spoken"
    assert asked.done() == {at}
    assert asked.words(LABELS)[image,] == "keep (C)"
    assert "you said keep" in asked.press([at], Press("keep", reason="plain to see")).message

    decisions = file.read(tmp_path / PATH).decisions
    assert (decisions[-1].queue, decisions[-1].effect) == (CONTROL, "changes nothing: it is a control case")
    verdicts = asked.verdicts()
    assert verdicts.states[-1] == CONTROLS
    assert verdicts.images[image].verdict == "drop"
    assert verdicts.states[-3:-1] == [APPLIED, APPLIED]
    [accuracy] = accuracies(decisions, confidence=0.95)
    assert (accuracy.steward, accuracy.cases, accuracy.right) == ("C", 1, 0)

    mine = desk(tmp_path, MINE, "C")
    [again] = [place for place, case in mine.cases.items() if case.image_id == image]
    mine.press([again], Press("drop", reason="shows no lesion"))
    decisions = file.read(tmp_path / PATH).decisions
    assert decisions[-1].queue == CONTROL, "nor is it applied when it is put right"
    assert [one.right for one in accuracies(decisions, confidence=0.95)] == [1]

    first = desk(tmp_path, LABELS, "A")
    first.press([place for place, case in first.cases.items() if case.image_id == image], Press("withdraw"))
    open_again = desk(tmp_path, LABELS, "C")
    assert image in {case.image_id for place, case in open_again.cases.items() if place not in open_again.done()}


def test_a_second_reader_is_not_told_what_the_first_one_said_even_afterwards(tmp_path: Path) -> None:
    project(tmp_path)
    a, alone = desk(tmp_path, LABELS, "A"), desk(tmp_path, LABELS, "B")
    expected = alone.press([1], Press("keep", reason="plain to see")).message
    alone.press([1], Press("withdraw"))
    a.press([1], Press("drop", reason="shows no lesion"))
    b = desk(tmp_path, LABELS, "B")
    places = {case.image_id: place for place, case in b.cases.items()}
    told = b.press([places[a.cases[1].image_id]], Press("keep", reason="plain to see")).message
    assert told == expected
    last = file.read(tmp_path / PATH).decisions[-1]
    assert last.queue == LABELS
    assert "A says drop" in last.effect, "the ledger has the truth"
    [kappa] = kappas(file.read(tmp_path / PATH).decisions, confidence=0.95, rng=np.random.default_rng(0))
    assert (kappa.stewards, kappa.cases, kappa.agreed) == (("A", "B"), 1, 0)
