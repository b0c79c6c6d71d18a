"""The promises of the DAG, kept by a real DVC on a tiny project: what re-runs, what does not, what a crash leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from pipeline import params
from pipeline.core.store import Store
from pipeline.ledger.decisions import PATH
from pipeline.ledger.file import append, read
from pipeline.stages.ingest.tables import Images
from tests.ledger.made import decision
from tests.project import Project, environment, tiny_params

pytestmark = pytest.mark.pipeline

CURATED = {"train@one-curated-0", "train@two-curated-0"}
TREE = tiny_params()


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change."""
    shutil.copytree(project.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def tables(root: Path) -> dict[str, str]:
    """Digest every table, report and weights file."""
    files = [*root.glob("data/*/**/*"), *root.glob("reports/**/*")]
    kept = [
        file for file in files if file.is_file() and not {"raw", ".cache", "truth"} & set(file.relative_to(root).parts)
    ]
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in kept}


def stages(names: list[str]) -> set[str]:
    return {name.split("@")[0] for name in names}


def test_a_second_repro_does_nothing(project: Project) -> None:
    assert project.ran(project.dvc("repro")) == []


def test_metrics_and_plots_are_shown(project: Project, tmp_path: Path) -> None:
    assert "balanced_accuracy" in project.dvc("metrics", "show", "--md")
    project.dvc("plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text("utf-8")
    for name in ("confusion", "roc", "calibration", "risk_coverage"):
        assert f"reports_evaluate_{name}_csv" in page


def test_dvc_tracks_every_batch_and_the_weights(project: Project) -> None:
    tracked = project.run("git", "ls-files", "data/raw").stdout.split()
    assert tracked == ["data/raw/demo.dvc", "data/raw/weights.dvc"]
    listed = project.dvc("list", ".", "data/raw")
    assert {"demo", "weights"} <= set(listed.split())


def test_a_fresh_clone_is_up_to_date_after_pull(copy: Project, tmp_path: Path) -> None:
    copy.dvc("remote", "add", "--default", "store", str(tmp_path / "remote"))
    copy.commit("Name a remote")
    copy.dvc("push", "--quiet")
    copy.run("git", "clone", "--quiet", str(copy.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.dvc("pull", "--quiet")
    assert "up to date" in clone.dvc("status")
    assert clone.ran(clone.dvc("repro")) == []
    assert tables(clone.root) == tables(copy.root)


def test_a_members_params_retrain_that_member_only(copy: Project) -> None:
    copy.set_params(train__members__two__folds=2)
    assert set(copy.ran(copy.dvc("repro"))) == {"train@two-raw-0", "train@two-curated-0", "evaluate"}


def test_a_decision_reruns_from_replay_and_reaches_the_training_set(copy: Project) -> None:
    image = _train_images(copy)[0]
    copy.pipeline("decide", image, "drop", "--reason", "not a lesion", "--steward", "A")
    assert set(copy.ran(copy.dvc("repro"))) == {"replay", "rebalance@raw", "rebalance@curated", *CURATED, "evaluate"}
    assert _reason(copy, image) == "steward"
    assert copy.ran(copy.dvc("repro")) == []


def test_a_decision_made_while_replay_runs_is_applied_by_the_next_repro(copy: Project) -> None:
    image = _train_images(copy)[0]
    run = _start(copy, "repro", "-f", "-s", "replay")
    _wait_for_writer(copy, "replay", run)
    _drop(copy, image)  # waits for DVC to have hashed the ledger
    output, _ = run.communicate()
    assert run.returncode == 0, output
    _expect_at_the_next_repro(copy, image)


def test_a_decision_made_before_dvc_hashes_the_ledger_is_applied_by_the_next_repro(copy: Project) -> None:
    image = _train_images(copy)[0]
    run = _start_paused(copy, "save", "replay", "repro", "-f", "-s", "replay")  # the stage has ended
    steward = threading.Thread(target=_drop, args=(copy, image))
    steward.start()
    time.sleep(0.5)
    assert read(copy.root / PATH).decisions == [], "it waits"
    _go(copy)
    output, _ = run.communicate()
    steward.join()
    assert run.returncode == 0, output
    _expect_at_the_next_repro(copy, image)


def test_a_decision_made_between_two_arms_fails_nothing_and_is_applied_by_the_next_repro(copy: Project) -> None:
    first, second = _train_images(copy)[:2]
    _drop(copy, first)
    run = _start_paused(copy, "reproduce", "rebalance@", "repro", times=2)
    assert sorted(arm["recorded"] for arm in _ledgers(copy)) == [0, 1], "one arm is built"
    _drop(copy, second)  # at once: nobody reads the ledger
    assert len(read(copy.root / PATH).decisions) == 2
    _go(copy)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert set(copy.ran(output)) >= {*CURATED, "evaluate"}
    assert (_reason(copy, first), _reason(copy, second)) == ("steward", None)
    assert [arm["recorded"] for arm in _ledgers(copy)] == [1, 1]
    assert "balanced_accuracy" in copy.dvc("metrics", "show", "--md")
    _expect_at_the_next_repro(copy, second)


def test_a_new_batch_costs_what_is_new_and_leaves_without_a_trace(copy: Project) -> None:
    before = tables(copy.root)
    shutil.copytree(copy.root / "data/raw/demo", copy.root / "data/raw/more")
    for file in sorted((copy.root / "data/raw/more").rglob("*.jpg"))[::3]:
        file.unlink()
    copy.dvc("add", "--quiet", "data/raw/more")
    entry = params.read_tree(copy.root / "params.yaml")["ingest"]["batches"]["demo"]
    copy.set_params(batches=["demo", "more"], ingest__batches__more=entry, ingest__limits__max_reject_share=0.2)
    ran = copy.ran(copy.dvc("repro"))
    own = {"ingest@more", "fingerprint@more", "embed@first-more", "embed@second-more"}
    assert {name for name in ran if name.endswith("more")} == own
    first = {"fingerprint@demo", "embed@first-demo", "embed@second-demo"}
    assert not first & set(ran), "the first batch's pixels did not change"
    assert {"dedup", "label_noise", "evaluate"} <= set(ran)
    groups = pd.read_parquet(copy.root / "data/dedup/groups.parquet")
    copies = groups.loc[groups["image_id"].str.startswith("more:"), "duplicate_of"]
    assert copies.notna().mean() > 0.9, "the second batch repeats the first"

    copy.set_params(batches=["demo"], ingest__limits__max_reject_share=0.05)
    copy.pipeline("prune")
    copy.dvc("repro")
    assert tables(copy.root) == before


def test_a_removed_member_leaves_no_trace(copy: Project) -> None:
    copy.set_params(members=["one"])
    copy.pipeline("prune")
    copy.dvc("repro")
    metrics = (copy.root / "reports/evaluate/metrics.json").read_text("utf-8")
    assert '"one"' in metrics
    assert '"two"' not in metrics
    assert sorted(path.name for path in (copy.root / "data/train").iterdir()) == ["one-curated-0", "one-raw-0"]


def test_an_experiment_runs_with_changed_params(copy: Project) -> None:
    output = copy.dvc("exp", "run", "-S", "evaluate.bootstrap=20")
    assert copy.ran(output) == ["evaluate"]
    assert yaml.safe_load((copy.root / "params.yaml").read_text("utf-8"))["evaluate"]["bootstrap"] == 20
    shown = json.loads(copy.dvc("exp", "show", "--json", "--no-pager").split("\n", 1)[0] or "[]")
    assert shown, "the experiment is listed"


def test_two_folders_give_the_same_bytes(project: Project, copy: Project) -> None:
    """A part of the DAG; `.ci/run` does the whole."""
    copy.dvc("repro", "-f", "-s", "--no-run-cache", "ingest@demo", "fingerprint@demo", "dedup", "train@one-raw-0")
    assert tables(copy.root) == tables(project.root)


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["dvc alone", "its process group"])
def test_a_run_killed_in_training_is_completed_by_the_next(project: Project, copy: Project, kill: Kill) -> None:
    _kill_and_repeat(project, copy, "train@one-raw-0", kill)


@pytest.mark.kill_all
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["dvc alone", "its process group"])
@pytest.mark.parametrize(
    "name",
    [f"{s}@{i[0]}" if (i := params.instances(TREE, s))[0] else s for s in params.STAGES if s != "train"],
)
def test_a_run_killed_in_any_stage_is_completed_by_the_next(
    project: Project, copy: Project, name: str, kill: Kill
) -> None:
    _kill_and_repeat(project, copy, name, kill)


@pytest.mark.kill_all
def test_the_whole_dag_gives_the_same_bytes_in_two_folders(project: Project, copy: Project) -> None:
    ran = copy.ran(copy.dvc("repro", "-f", "--no-run-cache"))
    assert stages(ran) == set(params.STAGES)
    assert tables(copy.root) == tables(project.root)


Kill = Callable[[int, int], None]


def _kill_and_repeat(project: Project, copy: Project, name: str, kill: Kill) -> None:
    run = _start(copy, "repro", "-f", "-s", "--no-run-cache", name)
    writer = _wait_for_writer(copy, name, run)
    kill(run.pid, signal.SIGKILL)
    run.communicate()
    repeat = _start(copy, "repro", "-f", "-s", "--no-run-cache", name)  # a plain one would restore what dvc.lock knows
    second = _wait_for_writer(copy, name, repeat, other_than=writer)
    assert not _alive(writer), "two writers"
    output, _ = repeat.communicate()
    assert repeat.returncode == 0, output
    assert second != writer
    assert copy.ran(copy.dvc("repro")) == []
    assert tables(copy.root) == tables(project.root)


def _train_images(project: Project) -> list[str]:
    selection = pd.read_parquet(project.root / "data/rebalance/curated/selection.parquet")
    return [str(image) for image in selection.loc[selection["split"] == "train", "image_id"]]


def _reason(project: Project, image: str) -> str | None:
    """Say why an image is out of the curated arm; None if it is in."""
    exclusions = pd.read_parquet(project.root / "data/rebalance/curated/exclusions.parquet").set_index("image_id")
    return str(exclusions.loc[image, "reason"]) if image in exclusions.index else None


def _ledgers(project: Project) -> list[dict[str, Any]]:
    """Read which decisions the two arms hold."""
    return [Store(project.root).read_report(f"rebalance/{arm}.json")["decisions"] for arm in ("raw", "curated")]


def _drop(project: Project, image: str) -> None:
    """Decide in this process, which needs no second to start."""
    sha256 = Store(project.root).read(Images, "demo").set_index("image_id").loc[image, "sha256"]
    append(project.root, [decision(image, "drop", sha256=sha256)], patience_s=600.0)


def _expect_at_the_next_repro(project: Project, image: str) -> None:
    """The next run applies a decision on a train image, trains the curated arm alone, and leaves nothing to do."""
    assert _reason(project, image) is None, "not applied yet"
    ran = project.ran(project.dvc("repro"))
    assert "replay" in ran
    assert {name for name in ran if name.startswith("train@")} == CURATED
    assert _reason(project, image) == "steward"
    assert project.ran(project.dvc("repro")) == []


# DVC, but that it stops at the n-th call of a method of stages whose names begin so, and goes on when told to.
PAUSED_DVC = """
import sys, time
from pathlib import Path
from dvc.cli import main
from dvc.stage import Stage

method, stage, times, *arguments = sys.argv[1:]
original, calls = getattr(Stage, method), []

def paused(self, *args, **kwargs):
    name = getattr(self, "name", "")  # `.dvc` files have none
    if name.startswith(stage):
        calls.append(name)
    if name in calls and len(calls) == int(times):
        Path("data/.cache/paused").touch()
        while not Path("data/.cache/go").exists():
            time.sleep(0.02)
    return original(self, *args, **kwargs)

setattr(Stage, method, paused)
sys.exit(main(arguments))
"""


def _start_paused(project: Project, method: str, stage: str, *arguments: str, times: int = 1) -> subprocess.Popen[str]:
    """Start DVC and return when it has come to that call; `_go` lets it go on."""
    run = _start(project, method, stage, str(times), *arguments, program=("-c", PAUSED_DVC))
    while run.poll() is None and not (project.root / "data/.cache/paused").exists():
        time.sleep(0.02)
    assert run.poll() is None, run.communicate()[0]
    return run


def _go(project: Project) -> None:
    (project.root / "data/.cache/go").touch()


def _start(project: Project, *arguments: str, program: tuple[str, ...] = ("-m", "dvc")) -> subprocess.Popen[str]:
    """Start DVC in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=project.root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for_writer(project: Project, name: str, run: subprocess.Popen[str], *, other_than: int = 0) -> int:
    """Wait until a live process holds the lock of a stage; return its id."""
    lock = project.root / f"data/.cache/locks/{name}.lock"
    while run.poll() is None:
        text = lock.read_text().strip() if lock.exists() else ""
        if text and int(text) != other_than and _alive(int(text)):
            return int(text)
        time.sleep(0.01)
    raise AssertionError(f"{name} did not start: {run.communicate()[0]}")


def _alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
