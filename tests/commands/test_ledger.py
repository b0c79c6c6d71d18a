from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pipeline.commands import ledger
from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.history import verify
from tests.ledger.made import commit, decision, git, repository
from tests.project import ROOT


def run(root: Path, *arguments: str) -> int:
    parser = ArgumentParser()
    ledger.add_arguments(parser)
    return ledger.run(root, parser.parse_args(arguments))


@pytest.fixture
def branches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two branches that decided on their own, `main` checked out; git finds the package for the driver."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    repository(tmp_path)
    for branch, images in (("other", ["b:2", "b:3"]), ("main", ["b:4"])):
        git(tmp_path, "checkout", "--quiet", "-B", branch, "main")
        file.append(tmp_path, [decision(image) for image in images])
        commit(tmp_path)
    return tmp_path


def images(root: Path) -> list[str]:
    return [one.image_id for one in file.read(root / PATH).decisions]


def test_verify_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = repository(tmp_path)
    file.append(tmp_path, [decision("b:1")])
    commit(tmp_path)
    assert run(tmp_path, "verify") == 0
    assert "1 decisions, and every version extends the one before" in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b"blue", b"grey"))
    assert run(tmp_path, "verify") == 1
    assert "does not extend what is committed: line 3 is another" in capsys.readouterr().err
    assert run(tmp_path, "mend") == 0
    assert run(tmp_path, "verify") == 0


def test_a_branch_is_merged_by_hand_where_git_refused(branches: Path) -> None:
    assert "CONFLICT" in git(branches, "merge", "other", check=False)
    run(branches, "merge", "other")
    commit(branches)
    assert images(branches) == ["b:4", "b:2", "b:3"]
    assert verify(branches).problems == []


def test_a_file_is_merged(branches: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (branches / "other.csv").write_bytes(git(branches, "show", f"other:{PATH}").encode())
    run(branches, "merge", "other.csv")
    assert "2 decisions of other.csv were appended" in capsys.readouterr().out
    run(branches, "merge", "other.csv")
    assert "0 decisions of other.csv were appended" in capsys.readouterr().out


def test_what_is_neither_a_file_nor_a_revision_is_refused(branches: Path) -> None:
    with pytest.raises(UserError, match="'nothing' is neither a file nor a git revision"):
        run(branches, "merge", "nothing")
    with pytest.raises(UserError, match="needs a file or a branch"):
        run(branches, "merge")


@pytest.mark.pipeline
def test_git_merges_by_itself_where_the_driver_is_installed(branches: Path) -> None:
    run(branches, "merge", "--install")
    run(branches, "merge", "--install")
    assert (branches / ".git/info/attributes").read_text().count(PATH) == 1
    git(branches, "merge", "--quiet", "-m", "Merge", "other")
    assert images(branches) == ["b:4", "b:2", "b:3"]
    assert verify(branches).problems == []
    git(branches, "checkout", "--quiet", "other")
    file.append(branches, [decision("b:5")])
    commit(branches)
    git(branches, "rebase", "--quiet", "main")
    assert images(branches) == ["b:4", "b:2", "b:3", "b:5"]
    assert verify(branches).problems == []


@pytest.mark.pipeline
def test_the_driver_leaves_a_conflict_where_a_side_is_broken(branches: Path) -> None:
    run(branches, "merge", "--install")
    path = branches / PATH
    path.write_bytes(path.read_bytes().replace(b"blue", b"grey") + b"x\n")
    commit(branches)
    said = git(branches, "merge", "other", check=False)
    assert "CONFLICT" in said
    assert "line 4" in said
    assert sys.executable in git(branches, "config", "merge.ledger.driver")
