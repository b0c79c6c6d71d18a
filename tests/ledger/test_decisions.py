from __future__ import annotations

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import HEADER, Decision, extend, find_problem, parse
from tests.ledger.made import EMPTY, decision

THREE = [
    decision("b:1", "drop", reason="a, b; «c»"),
    decision("b:2", "relabel"),
    decision("b:3", "same_lesion", other_image_id="b:1"),
]


def lines(content: bytes) -> list[bytes]:
    return content.rstrip(b"\n").split(b"\n")


def test_what_was_appended_is_read_back() -> None:
    assert parse(extend(EMPTY, THREE)) == THREE


def test_appending_at_once_or_one_by_one_gives_the_same_file() -> None:
    content = EMPTY
    for one in THREE:
        content = extend(content, [one])
    assert content == extend(EMPTY, THREE)


def test_appending_leaves_the_lines_before_as_they_are() -> None:
    before = extend(EMPTY, THREE)
    assert extend(before, [decision("b:9")]).startswith(before)


def test_a_file_with_a_header_only_holds_no_decisions() -> None:
    assert parse(f"{HEADER}\n".encode()) == []


@pytest.mark.parametrize(
    ("line", "change", "named"),
    [
        (2, lambda line: line.replace(b"drop", b"keep"), "line 2: keep needs the given diagnosis"),
        (2, lambda line: line.replace(b"a, b", b"a, d"), "line 3: its previous_hash"),
        (2, lambda line: line + b"\r", "line 2: it is not CSV|line 2: it holds a control|line 3: its previous_hash"),
        (3, lambda line: line.replace(b"2,", b"7,", 1), "line 3: its seq is '7', not 2"),
        (3, lambda line: line + b",", "line 3: it has 14 fields, not 13"),
        (3, lambda line: line.replace(b"relabel", b"maybe"), "line 3: 'maybe' is not a verdict"),
        (3, lambda line: b"\xff" + line, "line 3: it is not CSV in UTF-8"),
        (3, lambda _: b"", "line 3: it has 0 fields"),
        (1, lambda line: line.replace(b"seq", b"no"), "line 1: it is not the header"),
    ],
)
def test_a_changed_line_is_named(line: int, change: object, named: str) -> None:
    assert callable(change)
    changed = lines(extend(EMPTY, THREE))
    changed[line - 1] = change(changed[line - 1])
    with pytest.raises(UserError, match=named):
        parse(b"\n".join(changed) + b"\n")


def test_a_removed_line_is_noticed() -> None:
    one, two, _, four = lines(extend(EMPTY, THREE))
    with pytest.raises(UserError, match="line 3: its seq is '3', not 2"):
        parse(b"\n".join([one, two, four, b""]))


def test_two_lines_in_the_wrong_order_are_noticed() -> None:
    one, two, three, four = lines(extend(EMPTY, THREE))
    with pytest.raises(UserError, match="line 2"):
        parse(b"\n".join([one, three, two, four, b""]))


def test_a_cut_off_last_line_is_noticed() -> None:
    with pytest.raises(UserError, match="line 4: it is cut off"):
        parse(extend(EMPTY, THREE)[:-10])


def test_an_empty_file_is_noticed() -> None:
    with pytest.raises(UserError, match="line 1"):
        parse(b"")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (decision(verdict="perhaps"), "'perhaps' is not a verdict"),
        (decision(image_id=""), "image_id is empty"),
        (decision(steward=""), "steward is empty"),
        (decision(given=""), "keep needs the given diagnosis"),
        (decision(verdict="drop", given="nevus"), "drop takes no diagnosis in `from`"),
        (decision(verdict="relabel", to=""), "relabel needs another diagnosis"),
        (decision(verdict="relabel", to="nevus"), "relabel needs another diagnosis"),
        (decision(to="melanoma"), "keep takes no diagnosis in `to`"),
        (decision(other_image_id="b:2"), "keep takes no other image"),
        (decision(verdict="same_lesion"), "same_lesion needs another image"),
        (decision(verdict="not_a_duplicate", other_image_id="b:1"), "not_a_duplicate needs another image"),
        (decision(decided_at="2026-01-02T03:04:05"), "is not ISO 8601 with a time zone"),
        (decision(decided_at="yesterday"), "is not ISO 8601"),
        (decision(reason="two\nlines"), "it holds a control character"),
    ],
)
def test_a_decision_without_sense_is_not_recorded(wrong: Decision, problem: str) -> None:
    assert problem in (find_problem(wrong) or "")
    with pytest.raises(UserError, match="cannot be recorded"):
        extend(EMPTY, [decision(), wrong])


def test_the_order_of_a_pair_does_not_matter() -> None:
    one = decision("b:1", "same_lesion", other_image_id="b:2")
    other = decision("b:2", "not_a_duplicate", other_image_id="b:1")
    assert one.subject == other.subject == ("b:1", "b:2")
