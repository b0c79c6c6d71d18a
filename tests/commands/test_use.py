from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.commands import use
from pipeline.core.errors import UserError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    shutil.copy(ROOT / "profiles/demo.yaml", tmp_path / "profiles/demo.yaml")
    small = (ROOT / "profiles/demo.yaml").read_text("utf-8").replace("seeds: [0]", "seeds: [1]")
    (tmp_path / "profiles/other.yaml").write_text(small, "utf-8")
    shutil.copy(ROOT / "profiles/demo.yaml", tmp_path / "params.yaml")
    return tmp_path


def current(root: Path) -> str:
    return (root / "params.yaml").read_text("utf-8")


def test_a_profile_becomes_the_params_byte_for_byte(root: Path) -> None:
    use.run(root, argparse.Namespace(profile="other"))
    assert current(root) == (root / "profiles/other.yaml").read_text("utf-8")
    assert not (root / use.BACKUP).exists()


def test_an_unknown_profile_is_told_which_there_are(root: Path) -> None:
    with pytest.raises(UserError, match=r"profiles/ has no 'ham': say one of demo, other"):
        use.run(root, argparse.Namespace(profile="ham"))


def test_a_profile_with_an_error_is_refused_and_changes_nothing(root: Path) -> None:
    before = current(root)
    (root / "profiles/bad.yaml").write_text(before.replace("beta: 0.999", "beta: much"), "utf-8")
    with pytest.raises(UserError, match=r"profiles/bad.yaml cannot be used: .*rebalance.weights.beta"):
        use.run(root, argparse.Namespace(profile="bad"))
    assert current(root) == before


def test_edits_that_nothing_else_holds_are_backed_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = current(root).replace("bins: 15", "bins: 16")
    (root / "params.yaml").write_text(edited, "utf-8")
    use.run(root, argparse.Namespace(profile="other"))
    assert (root / use.BACKUP).read_text("utf-8") == edited
    assert use.BACKUP in capsys.readouterr().out


def test_edits_that_git_holds_need_no_backup(root: Path) -> None:
    (root / "params.yaml").write_text(current(root).replace("bins: 15", "bins: 16"), "utf-8")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "params.yaml"], [*identity, "commit", "--quiet", "-m", "Start"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    use.run(root, argparse.Namespace(profile="other"))
    assert not (root / use.BACKUP).exists()


def test_without_a_name_the_profiles_are_listed_and_the_current_one_marked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use.run(root, argparse.Namespace(profile=None))
    assert capsys.readouterr().out.splitlines() == ["* demo", "  other"]


def test_using_a_profile_prunes_and_says_what_is_to_be_fetched(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "data/ingest/gone").mkdir(parents=True)
    (root / "data/raw/demo").mkdir(parents=True)
    use.run(root, argparse.Namespace(profile="other"))
    assert not (root / "data/ingest/gone").exists()
    shown = capsys.readouterr().out
    assert "removed data/ingest/gone" in shown
    assert "data/raw/weights is not there yet" in shown
    assert "data/raw/demo is not" not in shown
