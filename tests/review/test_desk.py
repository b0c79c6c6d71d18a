from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import BROWSING, DISPUTES, PATH
from pipeline.review.app import desk_folder, list_cases, read_all
from pipeline.review.desk import SESSION, Desk, open_desk
from pipeline.review.keys import ACCEPT, NEXT, PREVIOUS, Press
from pipeline.review.queues import AUDIT, LABELS, MINE, OFF_TOPIC, PAIRS
from pipeline.review.sharing import Shares
from pipeline.review.shown import open_tables
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.label_noise.tables import LabelScores
from tests.review.made import project
from tests.review.test_spool import hold


def desk(root: Path, queue: str = BROWSING, steward: str = "A") -> Desk:
    """Open a steward's desk; everything that others decided is read again."""
    tables = open_tables(root)
    cases = list_cases(tables, queue, steward, read_all(tables, whole=False), Shares(1.0, 1.0))
    return Desk(root, desk_folder(root, steward), steward=steward, queue=queue, cases=cases, tables=tables)


def place_on(made: Desk, split: str, *, doubted: bool = False) -> int:
    """Find a case on a split that is no copy, and whose suggestion is, if asked for, another than given."""
    store = Store(made.root)
    groups, scores = (store.read(table).set_index("image_id") for table in (Groups, LabelScores))
    for place, case in made.cases.items():
        row, score = groups.loc[case.image_id], scores.loc[case.image_id]
        wanted = not doubted or score["given"] != score["suggested"]
        if wanted and row["split"] == split and not isinstance(row["duplicate_of"], str):
            return place
    raise AssertionError(split)


def test_one_key_writes_one_line_with_what_was_shown(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    place = place_on(made, "train")
    answer = made.press([place], Press("keep"))
    [one] = file.read(tmp_path / PATH).decisions
    assert (answer.recorded, answer.problem, answer.waits) == (1, False, False)
    assert (one.verdict, one.steward, one.queue, one.place, one.tool) == ("keep", "A", BROWSING, str(place), "panel")
    assert (one.split, len(one.tables)) == ("train", 64)
    assert one.effect in answer.message
    assert answer.place not in {None, place}
    assert made.done() == {place}


def test_a_reason_is_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    place = place_on(made, "train")
    asked = made.press([place], Press("drop"))
    assert (asked.ask, asked.recorded) == ("reason", 0)
    assert file.read(tmp_path / PATH).decisions == []
    made.press([place], Press("drop", reason=asked.options[0]))
    [one] = file.read(tmp_path / PATH).decisions
    assert (one.verdict, one.reason) == ("drop", asked.options[0])


def test_a_reason_that_tells_of_somebody_is_taken_when_said_again(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    place = place_on(made, "train")
    asked = made.press([place], Press("drop", reason="Mrs. Miller moved"))
    assert (asked.ask, asked.personal, asked.recorded) == ("reason", True, 0)
    assert made.press([place], Press("drop", reason="Mrs. Miller moved", checked=True)).recorded == 1


def test_the_suggestion_a_number_and_a_name_relabel(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    place = place_on(made, "train", doubted=True)
    given = made.tables.scores[made.cases[place].image_id]["given"]
    other = next(name for name in made.tables.curated.diagnoses if name != given)
    assert made.press([place], Press(ACCEPT)).recorded == 1
    assert made.press([place], Press("relabel", to=str(made.tables.curated.diagnoses.index(given) + 1))).problem
    assert made.press([place], Press("relabel", to="wart")).problem
    assert made.press([place], Press("relabel")).ask == "diagnosis"
    made.press([place], Press("keep"))
    number = str(made.tables.curated.diagnoses.index(other) + 1)
    made.press([place], Press("relabel", to=number, reason="pattern"))
    said = [(one.verdict, one.to) for one in file.read(tmp_path / PATH).decisions]
    assert said == [("relabel", other), ("keep", ""), ("relabel", other)]


def test_the_same_said_again_is_not_written_again(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    place = place_on(made, "train")
    assert made.press([place], Press("keep")).recorded == 1
    again = made.press([place], Press("keep"))
    assert again.recorded == 0
    assert "already" in again.message
    assert len(file.read(tmp_path / PATH).decisions) == 1


def test_a_word_is_taken_back_and_only_a_word(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    place = place_on(made, "train")
    assert made.press([place], Press("withdraw")).problem
    made.press([place], Press("keep"))
    back = made.press([place], Press("withdraw"))
    assert (back.recorded, back.place) == (1, None), "what was taken back stays in sight"
    assert made.done() == set()


def test_selected_cases_are_decided_together_and_none_unasked(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    assert made.press([], Press("keep")).problem
    asked = made.press([1, 2, 3], Press("drop"))
    assert (asked.ask, len(file.read(tmp_path / PATH).decisions)) == ("reason", 0)
    assert made.press([1, 2, 3], Press("drop", reason="shows no lesion")).recorded == 3
    assert len(file.read(tmp_path / PATH).decisions) == 3


def test_pairs_are_confirmed_parted_and_joined(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path, PAIRS)
    by_pair = {case.subject: place for place, case in made.cases.items()}
    copies, lesion = by_pair["demo:00", "demo:01"], by_pair["demo:02", "demo:05"]
    assert made.press([copies], Press("drop")).problem
    for place, action in ((copies, "keep"), (copies, "not_a_duplicate"), (lesion, "keep")):
        made.press([place], Press(action, reason="plain to see"))
    said = [(d.image_id, d.other_image_id, d.verdict) for d in file.read(tmp_path / PATH).decisions]
    assert said == [
        ("demo:01", "demo:00", "copy_of"),
        ("demo:00", "demo:01", "not_a_duplicate"),
        ("demo:02", "demo:05", "same_lesion"),
    ]
    assert "demo:01 returns" in file.read(tmp_path / PATH).decisions[1].effect
    assert "stays: A" in made.describe(copies)
    picture = made.picture(copies)
    assert picture is not None
    assert picture.exists()


def test_what_dvc_holds_waits_in_sight_and_survives_the_app(tmp_path: Path) -> None:
    project(tmp_path)
    made, lock = desk(tmp_path), hold(tmp_path)
    places = [place_on(made, "train"), place_on(made, "train", doubted=True)]
    answer = made.press(places[:1], Press("keep"))
    assert (answer.recorded, answer.waits) == (1, True)
    assert "1 wait until dvc has read the ledger" in made.progress()
    assert made.done() == {places[0]}
    assert file.read(tmp_path / PATH).decisions == []
    made.save()
    after = open_desk(made.folder / SESSION)  # the App died; another one is opened
    assert after.done() == {places[0]}
    lock.unlink()
    after.retry()
    made.retry()
    assert [one.verdict for one in file.read(tmp_path / PATH).decisions] == ["keep"]
    assert "wait until" not in after.progress()


def test_another_stewards_words_are_seen_among_the_disputes_alone(tmp_path: Path) -> None:
    project(tmp_path)
    a, b = desk(tmp_path), desk(tmp_path, steward="B")
    place = place_on(a, "train")
    a.press([place], Press("drop", reason="hidden by ink"))
    assert "hidden by ink" in a.describe(place)
    assert "hidden by ink" not in b.describe(place)
    assert b.done() == set()
    b.press([place], Press("keep"))
    disputes = desk(tmp_path, DISPUTES, steward="B")
    assert [case.image_id for case in disputes.cases.values()] == [a.cases[place].image_id]
    assert "hidden by ink" in disputes.describe(1)
    assert disputes.done() == set(), "a word said before is no word on the dispute"
    disputes.press([1], Press("drop", reason="shows no lesion"))
    assert disputes.verdicts().images[a.cases[place].image_id].verdict == "drop"
    assert [case.image_id for case in desk(tmp_path, MINE).cases.values()] == [a.cases[place].image_id]


def test_what_is_prepared_while_the_steward_looks_is_what_the_key_says(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path, LABELS)
    made.soon = lambda work, *arguments: work(*arguments)  # type: ignore[method-assign] # at once
    effects = []
    for place in (1, 2, 3):
        made.look_ahead(place)
        made.press([place], Press("drop", reason="shows no lesion"))
        effects.append(file.read(tmp_path / PATH).decisions[-1].effect)
    assert effects == [
        f"{made.cases[place].image_id} leaves {split(made, place)} (dropped by A)" for place in (1, 2, 3)
    ]


def split(made: Desk, place: int) -> str:
    return str(Store(made.root).read(Groups).set_index("image_id").loc[made.cases[place].image_id, "split"])


def test_the_way_through_a_queue(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path)
    last = max(made.cases)
    assert made.first() == 1
    assert made.press([1], Press(NEXT)).place == 2
    assert made.press([2], Press(PREVIOUS)).place == 1
    assert made.press([1], Press(PREVIOUS)).place is None
    assert made.press([last], Press(NEXT)).place == 1
    made.press([1], Press("keep", reason="plain to see"))
    assert made.first() == 2


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (LABELS, "0 of 11 decided · 0.0 of 4 min · 5 errors left of about 5"),
        (OFF_TOPIC, "off topic left of about"),
        (AUDIT, "0 of 11 images of the sample were looked at"),
        (MINE, "0 of 0 decided"),
    ],
)
def test_each_queue_says_how_far_it_has_come(tmp_path: Path, queue: str, said: str) -> None:
    project(tmp_path)
    assert said in desk(tmp_path, queue).progress()


def test_the_audit_is_counted_while_the_steward_looks_and_at_once_on_the_last_case(tmp_path: Path) -> None:
    project(tmp_path)
    made = desk(tmp_path, AUDIT)
    first, *others = made.cases
    assert "0 of 11 images of the sample were looked at" in made.progress()
    made.press([first], Press("keep", reason="plain to see"))
    made._look_ahead(others[0])  # what a timer does
    assert "1 of 11 images of the sample were looked at" in made.progress()
    for place in others:
        made.press([place], Press("keep", reason="plain to see"))
    assert "11 of 11 images of the sample were looked at" in made.progress()


@pytest.mark.parametrize("name", ["Dr. A", " dr.  a "])
def test_a_desk_is_the_same_however_the_name_is_written(tmp_path: Path, name: str) -> None:
    assert desk_folder(tmp_path, name) == desk_folder(tmp_path, "DR. A")
    assert desk_folder(tmp_path, name) != desk_folder(tmp_path, "Dr. B")
    assert desk_folder(tmp_path, "李").parent == desk_folder(tmp_path, "王").parent
