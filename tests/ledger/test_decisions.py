from __future__ import annotations

import csv
import io

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger.decisions import HEADER, MARK, Decision, extend, find_problem, identities, merge, parse, unspoil
from tests.ledger.made import EMPTY, decision, old, sha256

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
        (2, lambda line: line.replace(b"tool", b"fool"), "line 2: it has 20 fields, not 13"),
        (3, lambda line: line.replace(b"drop", b"keep"), "line 3: keep needs the given diagnosis"),
        (3, lambda line: line.replace(b"a, b", b"a, d"), "line 4: its previous_hash"),
        (3, lambda line: line + b"\r", "line 3: it is not CSV|line 3: it holds a control|line 4: its previous_hash"),
        (4, lambda line: line.replace(b"3,", b"7,", 1), "line 4: its seq is '7', not 3"),
        (4, lambda line: line + b",", "line 4: it has 21 fields, not 20"),
        (4, lambda line: line.replace(b"relabel", b"maybe"), "line 4: 'maybe' is not a verdict"),
        (4, lambda line: b"\xff" + line, "line 4: it is not CSV in UTF-8"),
        (4, lambda _: b"", "line 4: it has 0 fields"),
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
    one, mark, two, _, four = lines(extend(EMPTY, THREE))
    with pytest.raises(UserError, match="line 4: its seq is '4', not 3"):
        parse(b"\n".join([one, mark, two, four, b""]))


def test_two_lines_in_the_wrong_order_are_noticed() -> None:
    one, mark, two, three, four = lines(extend(EMPTY, THREE))
    with pytest.raises(UserError, match="line 3"):
        parse(b"\n".join([one, mark, three, two, four, b""]))


def test_a_cut_off_last_line_is_noticed() -> None:
    with pytest.raises(UserError, match="line 5: it is cut off"):
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
        (decision(verdict="copy_of"), "copy_of needs another image"),
        (decision(verdict="withdraw", other_image_id="b:1"), "withdraw needs another image"),
        (decision(verdict="withdraw", given="nevus"), "withdraw takes no diagnosis"),
    ],
)
def test_a_decision_without_sense_is_not_recorded(wrong: Decision, problem: str) -> None:
    assert problem in (find_problem(wrong) or "")
    with pytest.raises(UserError, match="cannot be recorded"):
        extend(EMPTY, [decision(), wrong])


def test_a_reason_is_short() -> None:
    with pytest.raises(UserError, match="its reason has 501 characters: say it in 500"):
        extend(EMPTY, [decision(reason="x" * 501)])
    assert len(parse(old([decision(reason="x" * 501)]))) == 1, "what stands in an old ledger stays valid"


def test_an_old_ledger_is_read_and_extended_from_a_marked_row_on() -> None:
    before = old(THREE)
    assert parse(before) == THREE
    shown = decision("b:9", place="7", suggested="melanoma", posterior="0.873", split="test", tables="ab", effect="x")
    after = extend(before, [shown])
    assert after.startswith(before)
    assert parse(after) == [*THREE, shown]
    assert after.count(b"\n") == before.count(b"\n") + 2
    assert extend(after, [decision("b:8")]).count(b"\n") == after.count(b"\n") + 1, "marked once"


def test_a_reason_that_quotes_the_marked_row_marks_nothing() -> None:
    sly = f"1,{MARK}," + "0" * 64
    content = old([decision(reason=sly)])
    assert parse(extend(content, THREE)) == [decision(reason=sly), *THREE]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\ttab", "'=quoted", "''=twice", "'plain", "plain", "it's", ""]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_stored_safe_and_read_back_as_written(text: str) -> None:
    content = extend(EMPTY, [decision(reason=text, steward=text or "A")])
    assert [(d.reason, d.steward) for d in parse(content)] == [(text, text or "A")]
    cells = list(csv.reader(content.decode().splitlines()))[2]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells)


def test_formulas_of_an_old_ledger_are_read_as_they_stand() -> None:
    assert [d.reason for d in parse(old([decision(reason="'=1")]))] == ["'=1"]


def saved(content: bytes, *, separator: str = ",", line_end: str = "\r\n", start: str = "\ufeff", quote: int) -> bytes:
    """Save a file as a spreadsheet does: every row as wide as the widest."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    width = max(len(row) for row in rows)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quote)  # type: ignore[arg-type]
    writer.writerows([*row, *[""] * (width - len(row))] for row in rows)
    return (start + text.getvalue()).encode()


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("quote", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("before", [old(THREE), EMPTY], ids=["old", "new"])
def test_what_a_spreadsheet_saved_is_what_it_was(separator: str, quote: int, before: bytes) -> None:
    content = extend(before, [decision("b:4", reason="a; b, =c"), *THREE])
    assert unspoil(saved(content, separator=separator, quote=quote)) == content


def test_line_ends_of_a_spreadsheet_are_read_as_they_are() -> None:
    assert parse(extend(EMPTY, THREE).replace(b"\n", b"\r\n")) == THREE
    assert b"\r" not in extend(extend(EMPTY, THREE).replace(b"\n", b"\r\n"), THREE)


def test_a_merge_extends_ours_and_keeps_the_old_hash_of_every_line() -> None:
    base = extend(old(THREE), [decision("b:4")])
    ours, theirs = extend(base, [decision("b:5")]), extend(base, [decision("b:6"), decision("b:7", "drop")])
    merged = merge(ours, theirs)
    assert merged.startswith(ours)
    brought = parse(merged)[-2:]
    assert [d.image_id for d in brought] == ["b:6", "b:7"]
    assert [d.origin for d in brought] == [sha256(line.decode()) for line in lines(theirs)[-2:]]


def test_merging_twice_or_by_another_way_brings_nothing_twice() -> None:
    base = extend(EMPTY, THREE)
    one, two, three = (extend(base, [decision(f"b:{i}")]) for i in (5, 6, 7))
    both = merge(one, two)
    assert merge(both, two) == both
    assert merge(both, one) == both
    around = merge(merge(three, both), merge(two, three))
    assert sorted(d.image_id for d in parse(around)) == ["b:1", "b:2", "b:3", "b:5", "b:6", "b:7"]
    assert set(identities(merge(both, around))) == set(identities(around))


def test_ledgers_that_contradict_each_other_are_not_merged() -> None:
    one = extend(EMPTY, [decision("b:1")])
    forged = merge(extend(EMPTY, []), one).replace(b"blue veil", b"blue sail")
    with pytest.raises(UserError, match="is another in the ledger to be merged"):
        merge(one, forged)


def test_the_order_of_a_pair_does_not_matter() -> None:
    one = decision("b:1", "same_lesion", other_image_id="b:2")
    other = decision("b:2", "not_a_duplicate", other_image_id="b:1")
    assert one.subject == other.subject == ("b:1", "b:2")
