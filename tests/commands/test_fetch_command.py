from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.fetch import track
from pipeline.core.errors import UserError
from tests.project import ROOT, Project, environment


def test_outside_a_dvc_project_nothing_is_tracked(tmp_path: Path) -> None:
    (tmp_path / "data/raw/demo").mkdir(parents=True)
    track(tmp_path, [tmp_path / "data/raw/demo"])
    assert not (tmp_path / "data/raw/demo.dvc").exists()


@pytest.mark.pipeline
def test_what_is_fetched_is_tracked_by_dvc_and_known_to_git(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/.gitignore", tmp_path / "data/.gitignore")
    project.run("git", "init", "--quiet")
    project.dvc("init", "--quiet")
    before = (tmp_path / "data/.gitignore").read_bytes()
    command = [sys.executable, "-m", "pipeline", "fetch", "demo", "--images", "40"]
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=env, check=True)
    staged = project.run("git", "diff", "--cached", "--name-only").stdout.split()
    assert "data/raw/demo.dvc" in staged
    assert not [name for name in staged if name.startswith("data/raw/demo/")]
    assert (tmp_path / "data/.gitignore").read_bytes() == before
    assert not (tmp_path / "data/raw/.gitignore").exists()
    assert project.dvc("status").strip().endswith("Data and pipelines are up to date.")


@pytest.mark.pipeline
def test_a_refusal_of_dvc_is_one_sentence(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("git", "init", "--quiet")
    project.dvc("init", "--quiet")
    with pytest.raises(UserError, match=r"failed .*: mend that, then run it by hand"):
        track(tmp_path, [tmp_path / "data/raw/missing"])
