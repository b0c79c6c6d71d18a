from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline import renamed_params
from pipeline.commands import use
from pipeline.core.errors import UserError
from pipeline.profiles import compose
from tests.params import tree

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "profiles/members", tmp_path / "profiles/members")
    for name in ("default", "demo"):
        shutil.copy(ROOT / f"profiles/{name}.yaml", tmp_path / f"profiles/{name}.yaml")
    (tmp_path / "profiles/other.yaml").write_text("seeds: [1]  # another\n", "utf-8")
    (tmp_path / "params.yaml").write_text(compose(tmp_path / "profiles", "demo"), "utf-8")
    return tmp_path


def current(root: Path) -> str:
    return (root / "params.yaml").read_text("utf-8")


def edit(root: Path, old: str, new: str) -> str:
    assert old in current(root)
    (root / "params.yaml").write_text(current(root).replace(old, new), "utf-8")
    return current(root)


def take(root: Path, profile: str | None) -> None:
    use.run(root, argparse.Namespace(profile=profile))


def test_a_profile_becomes_the_params(root: Path) -> None:
    take(root, "other")
    assert current(root) == compose(root / "profiles", "other")
    assert yaml.safe_load(current(root)) == tree(seeds=[1])
    assert not (root / use.BACKUP).exists()


def test_an_unknown_profile_is_told_which_there_are(root: Path) -> None:
    for name in ("ham", "default"):
        with pytest.raises(UserError, match=rf"profiles/ has no '{name}': say one of demo, other"):
            take(root, name)


def test_a_profile_with_an_error_is_refused_and_changes_nothing(root: Path) -> None:
    before = current(root)
    (root / "profiles/bad.yaml").write_text("rebalance: {balance: {beta: much}}\n", "utf-8")
    with pytest.raises(UserError, match=r"profiles/bad.yaml cannot be used: .*rebalance.balance.beta"):
        take(root, "bad")
    assert current(root) == before


def test_edits_that_nothing_else_holds_are_backed_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = edit(root, "bins: 15", "bins: 16")
    take(root, "other")
    assert (root / use.BACKUP).read_text("utf-8") == edited
    assert use.BACKUP in capsys.readouterr().out


def test_a_backup_is_never_written_over(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits = []
    take(root, "other")
    for bins in (16, 17, 16, 18):
        edits.append(edit(root, "bins: 15", f"bins: {bins}"))
        take(root, "other")
    kept = [(root / name).read_text("utf-8") for name in (use.BACKUP, f"{use.BACKUP}2", f"{use.BACKUP}3")]
    assert kept == [edits[0], edits[1], edits[3]]
    assert len(list(root.glob("params.yaml.bak*"))) == len(kept)
    assert f"kept in {use.BACKUP}2" in capsys.readouterr().out


def test_a_comment_of_ones_own_is_backed_up_too(root: Path) -> None:
    edited = edit(root, "bins: 15", "bins: 15  # as the paper has it\n ")
    assert use.is_current(root, "demo")
    take(root, "other")
    assert (root / use.BACKUP).read_text("utf-8") == edited


def test_edits_that_git_holds_need_no_backup(root: Path) -> None:
    edit(root, "bins: 15", "bins: 16")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "params.yaml"], [*identity, "commit", "--quiet", "-m", "Start"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    take(root, "other")
    assert not (root / use.BACKUP).exists()


def test_params_of_an_older_version_are_kept_and_their_keys_new_names_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(renamed_params, "RENAMED", {"evaluate.resamples": "evaluate.bootstrap"})
    edited = edit(root, "bootstrap:", "resamples:")
    take(root, "demo")
    assert (root / use.BACKUP).read_text("utf-8") == edited
    assert "  evaluate.resamples is now evaluate.bootstrap" in capsys.readouterr().out.splitlines()


def test_without_a_name_the_profiles_are_listed_and_the_current_one_marked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "profiles/broken.yaml").write_text("sed: 1\n", "utf-8")
    (root / "params.yaml").write_text(yaml.safe_dump(yaml.safe_load(current(root))), "utf-8")
    take(root, None)
    assert capsys.readouterr().out.splitlines() == ["  broken", "* demo", "  other"]


def test_using_a_profile_prunes_and_says_what_is_to_be_fetched(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "data/ingest/gone").mkdir(parents=True)
    (root / "data/raw/demo").mkdir(parents=True)
    take(root, "other")
    assert not (root / "data/ingest/gone").exists()
    shown = capsys.readouterr().out
    assert "removed data/ingest/gone" in shown
    assert "data/raw/weights is not there yet" in shown
    assert "data/raw/demo is not" not in shown
