from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from bench.gain import plan
from bench.gain.__main__ import compare, main
from bench.gain.fitting import FACTS, SETS, Job, Planned, fit, fitted, save
from bench.gain.plan import ARMS, PUBLISHED, PUBLISHED_ARMS
from pipeline.params import stage_params
from pipeline.profiles import read_either
from pipeline.stages.rebalance.params import RebalanceParams
from pipeline.stages.train.params import TrainParams
from tests.project import NETWORK, ROOT
from tests.stages.label_noise.made import project
from tests.stages.label_noise.planted import params

JUDGING = params(batches=["demo"], folds=3)
NOISE = "uniform, 20%"
TRAINING = TrainParams.model_validate(
    {
        "batches": ["demo"],
        "classes": "all",
        "device": "cpu",
        "loss": "cross_entropy",
        "member": NETWORK | {"weights": None, "trainable": "head", "augmentation": "none"},
    }
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("gain")).root


@pytest.fixture(scope="module")
def planned(root: Path) -> dict[tuple[str, str], Planned]:
    tree = read_either(ROOT / "profiles/demo.yaml")
    building = cast("RebalanceParams", stage_params(tree, "rebalance", "raw"))
    found = plan.read_project(root, "demo", JUDGING)
    sets = [
        one
        for shape in (None, "uniform")
        for one in plan.plan(found, shape, rate=0.2, seed=1, hours=0.1, judging=JUDGING, building=building)
    ]
    return {(one.condition, one.arm): one for one in sets}


def right(root: Path, one: Planned) -> pd.Series[Any]:
    truth = pd.read_parquet(root / "data/ingest/demo/images.parquet").set_index("image_id")["diagnosis"]
    found: pd.Series[Any] = one.selection["diagnosis"] == one.selection["image_id"].map(truth)
    return found


def test_every_arm_is_planned_and_none_has_a_planted_error_in_test(
    root: Path, planned: dict[tuple[str, str], Planned]
) -> None:
    assert set(planned) == {(PUBLISHED, arm) for arm in PUBLISHED_ARMS} | {(NOISE, arm) for arm in ARMS}
    for (condition, _), one in planned.items():
        held = one.selection["split"]
        assert right(root, one)[held == "test"].all()
        wrong = int((~right(root, one))[held == "train"].sum())
        assert wrong == one.facts["wrong_in_train"]
        assert wrong == 0 or condition == NOISE


def test_the_steward_rights_what_he_comes_to_and_the_policy_takes_errors_out(
    planned: dict[tuple[str, str], Planned],
) -> None:
    wrong = {arm: planned[NOISE, arm].facts["wrong_in_train"] for arm in ARMS}
    assert wrong["raw"] > 10
    assert 0 < planned[NOISE, "curated"].facts["decisions"] <= 18  # lesions of 20 seconds in 6 minutes
    assert wrong["curated"] <= wrong["clean"] < wrong["raw"]
    relabelled = planned[NOISE, "curated"].selection.query("split == 'train' and given != diagnosis")
    assert len(relabelled) > 5
    followed, control = (planned[NOISE, arm].facts["train"] for arm in ("curated", "random_removal"))
    assert control == followed


def test_what_is_fitted_is_compared_on_the_same_test_set(
    root: Path, planned: dict[tuple[str, str], Planned], tmp_path: Path
) -> None:
    chosen = [planned[PUBLISHED, "curated"], planned[NOISE, "raw"], planned[NOISE, "curated"]]
    save(tmp_path, chosen)
    job = Job(NOISE, "raw", 0)
    fit(root, "demo", TRAINING, tmp_path, seeds=[0], workers=1)
    probabilities = np.load(fitted(tmp_path, job))
    test = planned[NOISE, "raw"].selection.query("split == 'test'")
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(test)), abs=1e-4)
    assert not list(tmp_path.glob("*.scratch"))
    # One arm knows the truth and one gives every image the first diagnosis, with two seeds.
    images = pd.read_parquet(root / "data/ingest/demo/images.parquet").set_index("image_id")
    classes = sorted(images["diagnosis"].unique())
    actual = pd.Index(classes).get_indexer(pd.Index(images.loc[test["image_id"], "diagnosis"]))
    np.save(fitted(tmp_path, Job(NOISE, "curated", 0)), np.eye(len(classes))[actual])
    for seed in (0, 1):
        np.save(fitted(tmp_path, Job(NOISE, "raw", seed)), np.eye(len(classes))[np.zeros_like(actual)])
    found, text = compare(root, "demo", tmp_path)
    gain = found["conditions"][NOISE]["curated"]["gain"]
    assert gain["accuracy"][0] == pytest.approx(1 - np.mean(actual == 0), abs=1e-3)
    assert [len(found["conditions"][NOISE][arm]["by_seed"]) for arm in ("raw", "curated")] == [2, 1]
    assert "gain" not in found["conditions"][PUBLISHED]["curated"]
    assert text.count("\n") == 4


def test_a_job_that_is_on_disk_is_not_run_again(
    root: Path, planned: dict[tuple[str, str], Planned], tmp_path: Path
) -> None:
    save(tmp_path, [planned[NOISE, "raw"]])
    kept = fitted(tmp_path, Job(NOISE, "raw", 3))
    np.save(kept, np.zeros((2, 2)))
    fit(root, "demo", TRAINING, tmp_path, seeds=[3], workers=1)
    assert not np.load(kept).any()
    assert json.loads((tmp_path / FACTS).read_text("utf-8"))[NOISE]["raw"] == planned[NOISE, "raw"].facts
    assert len(list((tmp_path / SETS).glob("*.parquet"))) == 1


def test_the_command_says_what_is_missing(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(root, tmp_path / "p")
    (tmp_path / "p/data/dedup/groups.parquet").unlink()
    given = ["plan", str(tmp_path / "f"), "--project", str(tmp_path / "p"), "--batch", "demo"]
    assert main([*given, "--profile", str(ROOT / "profiles/demo.yaml")]) == 1
    assert "data/dedup/groups.parquet does not exist" in capsys.readouterr().err
