"""dvc.yaml is kept honest: each dep, param and out is there because the code needs it, and the other way round."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from pipeline import params
from tests import wiring
from tests.project import Project

TREE = params.read_tree(wiring.ROOT / "params.yaml")
DAG = wiring.read_dag()
ALL = [(stage, instance) for stage in params.STAGES for instance in params.instances(TREE, stage)]
IGNORED = (wiring.ROOT / "data/.gitignore").read_text("utf-8")
NAMES = [f"{stage}@{instance}" if instance else stage for stage, instance in ALL]


def without(found: dict[str, Any], kind: str, item: Any) -> dict[str, Any]:
    broken = deepcopy(found)
    broken[kind].remove(item)
    return broken


def test_dvc_yaml_lists_the_stages_in_their_order() -> None:
    assert wiring.stage_problems(DAG) == []


def test_git_ignores_what_stages_write_into_data() -> None:
    """Or DVC would write the line into the hand-written file, and a user's clone would never be clean."""
    assert wiring.ignore_problems(DAG, IGNORED) == []
    assert [stage for stage in params.STAGES if stage != "evaluate" and f"/{stage}/" not in IGNORED.splitlines()] == []


def test_packages_hold_no_code() -> None:
    assert wiring.init_problems() == []


@pytest.mark.parametrize(("stage", "instance"), ALL, ids=NAMES)
def test_the_command_runs_the_stage(stage: str, instance: str | None) -> None:
    assert wiring.command_problems(stage, instance, wiring.entry(DAG, TREE, stage, instance)) == []


@pytest.mark.parametrize("stage", params.STAGES)
def test_code_deps_are_the_import_closure(stage: str) -> None:
    found = wiring.entry(DAG, TREE, stage, params.instances(TREE, stage)[0])
    assert wiring.code_problems(stage, found) == []
    for dep in [dep for dep in found["deps"] if dep.startswith("pipeline/")]:
        assert wiring.code_problems(stage, without(found, "deps", dep)), f"nobody would miss {dep}"


@pytest.mark.parametrize(("stage", "instance"), ALL, ids=NAMES)
def test_params_are_what_the_stage_receives(stage: str, instance: str | None) -> None:
    found = wiring.entry(DAG, TREE, stage, instance)
    assert wiring.params_problems(TREE, stage, instance, found) == []
    for key in found["params"]:
        assert wiring.params_problems(TREE, stage, instance, without(found, "params", key)), f"nobody would miss {key}"


@pytest.mark.pipeline
def test_data_deps_and_outs_are_what_the_stage_touched(project: Project) -> None:
    tree = params.read_tree(project.root / "params.yaml")
    log = {line["stage"]: line for line in map(json.loads, project.runs().splitlines())}
    for stage in params.STAGES:
        lines = {
            instance: log[f"{stage}@{instance}" if instance else stage] for instance in params.instances(tree, stage)
        }
        elsewhere = {file for line in lines.values() for file in line["reads"]}
        for instance, line in lines.items():
            found, touched = wiring.entry(DAG, tree, stage, instance), (line["reads"], line["writes"])
            assert wiring.data_problems(stage, found, *touched, elsewhere=elsewhere) == []
            spared = set(wiring.data_problems(stage, found, *touched))  # what only other instances read
            for kind in ("deps", "outs", "metrics", "plots"):
                for item in found.get(kind, []):
                    if not str(item).startswith("pipeline/") and not any(f" {item}, " in text for text in spared):
                        broken = without(found, kind, item)
                        assert wiring.data_problems(stage, broken, *touched, elsewhere=elsewhere), item
