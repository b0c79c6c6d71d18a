from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.label_noise import fine_tuned
from bench.label_noise.collection import read_collection
from bench.label_noise.cross_fitting import main, read_fitted, read_params, read_plan
from bench.label_noise.methods import OURS
from bench.label_noise.planting import plant
from bench.label_noise.run import Cell
from bench.parts import ALL
from pipeline.profiles import read_either
from tests.project import HEAD, ROOT
from tests.stages.label_noise.made import project
from tests.stages.label_noise.planted import params

CELL = Cell("uniform", 0.2, "lesion", 5)
NAME = "uniform|0.2|5"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Set up a project, a profile with a member, and in `fitted/` a cell's plan."""
    root = project(tmp_path_factory.mktemp("fine_tuned")).root
    tree = read_either(ROOT / "profiles/demo.yaml")
    member = HEAD | {"weights": None}
    tree |= {"encoders": ["clip"], "members": ["one"], "train": tree["train"] | {"members": {"one": member}}}
    (root / "params.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    fine_tuned.plan(read_collection(root, "demo", ["clip"]), [CELL], root / "fitted")
    return root


def options(root: Path) -> list[str]:
    return [str(root / "fitted"), "--project", str(root), "--batch", "demo", "--profile", str(root / "params.yaml")]


def test_a_plan_holds_the_planted_labels_and_what_lies_together(root: Path) -> None:
    collection, planned = read_collection(root, "demo", ["clip"]), read_plan(root / "fitted")
    labels = planned.labels(NAME)
    planted = plant(collection, CELL.shape, rate=CELL.rate, per=CELL.per, seed=CELL.seed)
    assert np.array_equal(labels.given, planted.given)
    assert np.array_equal(labels.group, collection.labelled.group)
    assert labels.learnt.all()
    assert labels.classes == len(collection.labelled.classes)


def test_what_is_fitted_is_read_once_every_fold_is_there(root: Path) -> None:
    fitted = read_params(root / "params.yaml")
    assert list(read_fitted(root / "fitted", fitted)) == []
    assert main(options(root)) == 0
    [(cell, members)] = read_fitted(root / "fitted", fitted)
    assert cell == NAME
    assert members[0].sum(axis=1) == pytest.approx(np.ones(len(members[0])), abs=1e-5)
    assert not list((root / "fitted").rglob("*.pt"))


def test_a_member_that_knows_the_truth_raises_the_figure(root: Path) -> None:
    collection, fitted = read_collection(root, "demo", ["clip"]), read_params(root / "params.yaml")
    truth = 0.9 * np.eye(len(collection.labelled.classes))[collection.truth] + 0.02
    judging = params(batches=["demo"], folds=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tuned, "read_fitted", lambda *_: iter([(NAME, (truth,))]))
        given = argparse.Namespace(
            lesions=ALL, project=root, batch="demo", profile=root / "params.yaml", fitted=root / "fitted"
        )
        found, text = fine_tuned.run(given, judging)
    methods = found["demo"]["cells"]["uniform, 20%"]["methods"]
    figures = {name: of_method["average_precision"] for name, of_method in methods.items()}
    assert figures[fine_tuned.ALONE] == 1
    assert figures[OURS] > figures[fine_tuned.WITHOUT]
    assert found["demo"]["members"]["one"] == fitted.members["one"].model_dump()
    assert "| uniform, 20% |" in text


def test_a_probe_is_not_fine_tuned() -> None:
    assert list(read_params(ROOT / "profiles/demo.yaml").members) == ["lite0", "lite0_head"]
