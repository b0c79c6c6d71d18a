"""Whether a ledger that was tampered with is found: in the working tree, committed, and by every repair there is."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH, extend, parse
from pipeline.ledger.history import HEAD_COPY, keep_head_copy, verify
from tests.ledger.made import EMPTY, commit, decision, git, ledger, old, repository, sha256

TAMPERINGS = 200
Lines = list[bytes]


def rechain(lines: Lines) -> Lines:
    """Number all lines anew and give each the hash of the line above, as who knows the format would."""
    done = [lines[0]]
    for seq, line in enumerate(lines[1:], start=1):
        body = line.partition(b",")[2].rpartition(b",")[0]
        done.append(b"%d,%s,%s" % (seq, body, sha256(done[-1].decode()).encode()))
    return done


def edit(lines: Lines, rng: random.Random) -> Lines:
    i = rng.randrange(1, len(lines))
    a, b = rng.choice([(b"A. Nurse", b"B. Nurse"), (b"blue", b"grey"), (b"2026-01", b"2025-01"), (b"sha", b"sah")])
    return [*lines[:i], lines[i].replace(a, b), *lines[i + 1 :]] if a in lines[i] else edit(lines, rng)


def delete(lines: Lines, rng: random.Random) -> Lines:
    i = rng.randrange(1, len(lines))
    return lines[:i] + lines[i + 1 :]


def swap(lines: Lines, rng: random.Random) -> Lines:
    i, j = rng.sample([n for n, line in enumerate(lines) if b"b:" in line], 2)
    swapped = list(lines)
    swapped[i], swapped[j] = lines[j], lines[i]
    return swapped


def insert(lines: Lines, rng: random.Random) -> Lines:
    i = rng.randrange(1, len(lines))
    return [*lines[:i], lines[-1].replace(b"b:", b"b:new"), *lines[i:]]


def truncate(lines: Lines, rng: random.Random) -> Lines:
    return lines[: rng.randrange(1, len(lines))]


def empty(_: Lines, rng: random.Random) -> Lines:
    return rng.choice([[], [EMPTY.rstrip()]])


def chain_anew(lines: Lines, rng: random.Random) -> Lines:
    decisions = parse(b"\n".join([*lines, b""]))
    i = rng.randrange(len(decisions))
    decisions[i] = replace(decisions[i], steward="Dr. Other")
    return extend(EMPTY, decisions).rstrip(b"\n").split(b"\n")


def replace_all(_: Lines, rng: random.Random) -> Lines:
    other = extend(EMPTY, [decision(f"b:{i}", "drop") for i in range(rng.randrange(1, 30))])
    return other.rstrip(b"\n").split(b"\n")


def duplicate(lines: Lines, rng: random.Random) -> Lines:
    i, j = rng.randrange(1, len(lines)), rng.randrange(1, len(lines) + 1)
    return [*lines[:j], lines[i], *lines[j:]]


OPERATIONS: tuple[Callable[[Lines, random.Random], Lines], ...] = (
    edit,
    delete,
    swap,
    insert,
    truncate,
    empty,
    chain_anew,
    replace_all,
    duplicate,
)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose ledger began in the old format and was committed five times."""
    root = tmp_path_factory.mktemp("committed")
    path = repository(root)
    path.write_bytes(old([decision(f"b:{i}") for i in range(4)]))
    commit(root)
    for batch in range(4):
        file.append(root, [decision(f"b:{batch}{i}", "drop", reason=f"blue {i}") for i in range(5)])
        commit(root)
    assert verify(root).problems == []
    return root


def test_every_tampering_with_a_committed_ledger_is_found(committed: Path) -> None:
    """Each of nine operations in turn; hashes and the copy of what was appended are repaired in two cases of three."""
    path, head = committed / PATH, committed / HEAD_COPY
    whole, tip, missed = path.read_bytes(), git(committed, "rev-parse", "HEAD").strip(), []
    rng = random.Random(27)  # noqa: S311 - no secret
    for number in range(TAMPERINGS):
        operation, repairs = OPERATIONS[number % len(OPERATIONS)], rng.randrange(3)
        lines = operation(whole.rstrip(b"\n").split(b"\n"), rng)
        if repairs and lines:
            lines = rechain(lines)
        content = b"".join(line + b"\n" for line in lines)
        assert content != whole, operation.__name__
        path.write_bytes(content)
        if repairs == 2:
            keep_head_copy(committed, content)
        if number % 4 == 0:
            commit(committed)
        if not verify(committed).problems:
            missed.append((number, operation.__name__, repairs))
        if number % 4 == 0:
            git(committed, "reset", "--quiet", "--hard", tip)
        path.write_bytes(whole)
        head.write_bytes(whole)
    assert missed == []


def test_a_forged_line_behind_the_last_is_the_class_that_is_not_found(committed: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(committed, root)
    forged = extend((root / PATH).read_bytes(), [decision("b:forged")])
    (root / PATH).write_bytes(forged)
    keep_head_copy(root, forged)
    assert verify(root).problems == []


@pytest.mark.parametrize("operation", [truncate, empty, chain_anew, delete, replace_all])
def test_what_is_not_committed_yet_is_held_against_the_copy_of_what_was_appended(
    tmp_path: Path, operation: Callable[[Lines, random.Random], Lines]
) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision(f"b:{i}") for i in range(6)])
    assert verify(tmp_path).problems == []
    rng = random.Random(1)  # noqa: S311 - no secret
    lines = rechain(operation(path.read_bytes().rstrip(b"\n").split(b"\n"), rng) or [EMPTY.rstrip()])
    path.write_bytes(b"\n".join([*lines, b""]))
    assert any("decisions that were recorded here are not in it" in problem for problem in verify(tmp_path).problems)
    with pytest.raises(UserError, match="mend"):
        file.append(tmp_path, [decision("b:7")])
    file.mend(tmp_path)
    assert len(parse(path.read_bytes())) == 6
    assert verify(tmp_path).problems == []


def test_nothing_is_appended_to_a_committed_ledger_that_was_cut_off(tmp_path: Path) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    commit(tmp_path)
    (tmp_path / HEAD_COPY).unlink()  # as in a fresh clone
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:3]) + b"\n")
    with pytest.raises(UserError, match="does not extend what is committed: it ends before line 4"):
        file.append(tmp_path, [decision("b:3")])
    file.mend(tmp_path)
    file.append(tmp_path, [decision("b:3")])
    assert [d.image_id for d in file.read(path).decisions] == ["b:1", "b:2", "b:3"]


def test_another_branch_with_fewer_decisions_is_no_loss(tmp_path: Path) -> None:
    repository(tmp_path)
    git(tmp_path, "checkout", "--quiet", "-b", "other")
    git(tmp_path, "checkout", "--quiet", "main")
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    commit(tmp_path)
    git(tmp_path, "checkout", "--quiet", "other")
    assert verify(tmp_path).problems == []
    file.append(tmp_path, [decision("b:3")])
    assert len(file.read(tmp_path / PATH).decisions) == 1


def diverged(root: Path) -> None:
    """Two branches with decisions of their own; `main` is checked out."""
    repository(root)
    file.append(root, [decision("b:1")])
    commit(root)
    git(root, "checkout", "--quiet", "-b", "other")
    file.append(root, [decision("b:2"), decision("b:3")])
    commit(root)
    git(root, "checkout", "--quiet", "main")
    file.append(root, [decision("b:4")])
    commit(root)


def test_a_clone_without_the_driver_refuses_to_merge(tmp_path: Path) -> None:
    diverged(tmp_path)
    said = git(tmp_path, "merge", "other", check=False)
    assert "CONFLICT" in said
    assert [d.image_id for d in file.read(tmp_path / PATH).decisions] == ["b:1", "b:4"], "ours, whole"


@pytest.mark.parametrize("forget", [0, 1])
def test_a_merge_that_loses_a_decision_of_the_branch_is_found(tmp_path: Path, forget: int) -> None:
    diverged(tmp_path)
    git(tmp_path, "merge", "--no-commit", "other", check=False)
    theirs = git(tmp_path, "show", f"other:{PATH}").encode()
    file.merge_in(tmp_path, theirs)
    if forget:
        ours = git(tmp_path, "show", f"main:{PATH}").encode()
        decisions = [d for d in file.read(tmp_path / PATH).decisions if d.origin]
        content = extend(ours, decisions[:-forget])
        (tmp_path / PATH).write_bytes(content)
        keep_head_copy(tmp_path, content)
    commit(tmp_path)
    problems = verify(tmp_path).problems
    assert len(problems) == forget
    if forget:
        assert "lacks 1 decisions of" in problems[0]
        git(tmp_path, "merge", "--quiet", "other")  # git has it for merged
        file.merge_in(tmp_path, theirs)
        commit(tmp_path)
        assert [d.image_id for d in file.read(tmp_path / PATH).decisions] == ["b:1", "b:4", "b:2", "b:3"]
        assert verify(tmp_path).problems == [], "brought in later"


def test_a_merge_that_keeps_ours_alone_is_found(tmp_path: Path) -> None:
    diverged(tmp_path)
    git(tmp_path, "merge", "--quiet", "-s", "ours", "-m", "Ours", "other")
    assert len(verify(tmp_path).problems) == 1


def test_a_broken_commit_that_was_put_right_is_a_note(tmp_path: Path) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    commit(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"blue", b"grey"))
    commit(tmp_path)
    assert len(verify(tmp_path).problems) >= 2
    path.write_bytes(whole)
    commit(tmp_path)
    found = verify(tmp_path)
    assert found.problems == []
    assert "put it right" in found.notes[0]


def test_without_git_the_chain_and_the_copy_are_checked(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    found = verify(tmp_path)
    assert (found.problems, len(found.notes)) == ([], 1)
    path.write_bytes(EMPTY)
    assert len(verify(tmp_path).problems) == 1


SPOIL: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "cut": lambda content: content[:-20],
    "emptied": lambda _: b"",
    "typed into": lambda content: content + b"x\n",
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_spoiled_file_is_mended_without_a_loss(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1")])
    commit(tmp_path)
    file.append(tmp_path, [decision("b:2"), decision("b:3")])
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    said = file.mend(tmp_path)
    assert path.read_bytes() == whole
    assert "with 3 decisions" in said
    assert file.mend(tmp_path).endswith("nothing was done")


def test_what_mending_gives_up_is_kept_beside_the_ledger(tmp_path: Path) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    spoiled = path.read_bytes().replace(b"blue", b"grey")
    path.write_bytes(spoiled)
    assert "beside it is what it was" in file.mend(tmp_path)
    assert [kept.read_bytes() for kept in path.parent.glob("decisions.spoiled-*.csv")] == [spoiled]


def test_decisions_of_a_cut_ledger_that_went_on_are_merged_back(tmp_path: Path) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    commit(tmp_path)
    one = extend(EMPTY, [decision("b:1")])
    path.write_bytes(extend(one, [decision("b:3")]).replace(b"\n", b"\r\n"))
    assert "1 decisions are in that file alone, the first on b:3" in file.mend(tmp_path)
    [kept] = path.parent.glob("decisions.spoiled-*.csv")
    file.merge_in(tmp_path, kept.read_bytes())
    assert [d.image_id for d in file.read(path).decisions] == ["b:1", "b:2", "b:3"]
    assert verify(tmp_path).problems == []


def test_a_missing_ledger_is_brought_back(tmp_path: Path) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1")])
    path.unlink()
    file.mend(tmp_path)
    assert len(file.read(path).decisions) == 1


def test_a_decision_that_is_there_is_not_appended_again(tmp_path: Path) -> None:
    path = ledger(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:1")])
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    assert [d.image_id for d in file.read(path).decisions] == ["b:1", "b:2"]
