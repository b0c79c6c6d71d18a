"""Each rule of tests/wiring.py finds a planted violation, beside those that `without` in test_wiring.py plants."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pipeline import params
from tests import wiring

TREE = params.read_tree(wiring.ROOT / "params.yaml")
DAG = wiring.read_dag()
SAMPLES = [(stage, params.instances(TREE, stage)[0]) for stage in params.STAGES]


def resolved(stage: str, instance: str | None) -> dict[str, Any]:
    return deepcopy(wiring.entry(DAG, TREE, stage, instance))


def foreign_code(stage: str) -> str:
    """Name a module of the package that the stage does not import."""
    files = {str(path.relative_to(wiring.ROOT)) for path in (wiring.ROOT / "pipeline").rglob("[a-z]*.py")}
    return min(files - wiring.closure(stage))


@pytest.mark.parametrize("stage", params.STAGES)
def test_a_code_dep_too_many_is_found(stage: str) -> None:
    found = resolved(stage, params.instances(TREE, stage)[0])
    extra = foreign_code(stage)
    found["deps"].append(extra)
    assert wiring.code_problems(stage, found) == [f"{stage} depends on {extra}, which it does not import"]


@pytest.mark.parametrize("stage", params.STAGES)
def test_a_missing_code_dep_is_named(stage: str) -> None:
    found = resolved(stage, params.instances(TREE, stage)[0])
    found["deps"].remove("pipeline/core/store.py")
    assert wiring.code_problems(stage, found) == [
        f"{stage} imports pipeline/core/store.py, which is not among its deps"
    ]


@pytest.mark.parametrize(("stage", "instance"), SAMPLES, ids=params.STAGES)
def test_a_param_that_the_stage_does_not_receive_is_found(stage: str, instance: str | None) -> None:
    tree = {**TREE, "colour": "red"}
    found = resolved(stage, instance)
    found["params"].append("colour")
    assert wiring.params_problems(tree, stage, instance, found) == [f"{stage} lists colour, which it does not receive"]


@pytest.mark.parametrize(("stage", "instance"), SAMPLES, ids=params.STAGES)
def test_a_param_that_is_not_listed_is_found(stage: str, instance: str | None) -> None:
    found = resolved(stage, instance)
    problems = wiring.params_problems(TREE, stage, instance, {**found, "params": []})
    assert problems
    assert all(problem.endswith("which is not among its params") for problem in problems)


FOUND = {
    "deps": ["data/ingest/demo", "pipeline/core"],
    "outs": ["data/embed/demo"],
    "metrics": [{"reports/embed.json": {"cache": False}}],
}
READS = {"data/ingest/demo/images.parquet"}
WRITES = {"data/embed/demo/embeddings.parquet", "reports/embed.json"}


@pytest.mark.parametrize(
    ("reads", "writes", "problems"),
    [
        (READS, WRITES, []),
        (READS | {"data/truth/demo.csv"}, WRITES, ["embed reads data/truth/demo.csv, which dvc.yaml does not name"]),
        (READS, WRITES | {"data/embed/demo.csv"}, ["embed writes data/embed/demo.csv, which dvc.yaml does not name"]),
        (set(), WRITES, ["embed names data/ingest/demo, but never reads it"]),
        (READS, {"reports/embed.json"}, ["embed names data/embed/demo, but never writes it"]),
        (READS, WRITES - {"reports/embed.json"}, ["embed names reports/embed.json, but never writes it"]),
    ],
    ids=["as named", "undeclared read", "undeclared write", "unread dep", "unwritten out", "unwritten metric"],
)
def test_what_a_stage_touches_is_held_against_what_is_named(
    reads: set[str], writes: set[str], problems: list[str]
) -> None:
    assert wiring.data_problems("embed", FOUND, reads, writes) == problems


def test_what_another_instance_reads_may_be_named_but_not_read_unnamed() -> None:
    assert wiring.data_problems("embed", FOUND, set(), WRITES, elsewhere=READS) == []
    undeclared = READS | {"data/truth/demo.csv"}
    assert wiring.data_problems("embed", FOUND, undeclared, WRITES, elsewhere=undeclared) == [
        "embed reads data/truth/demo.csv, which dvc.yaml does not name"
    ]


def test_code_in_an_init_is_found(tmp_path: Path) -> None:
    package = tmp_path / "pipeline/stages/newcomer"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text('"""Words are no code."""\n', "utf-8")
    (package / "__init__.py").write_text("from pipeline.core import store\n", "utf-8")
    assert wiring.init_problems(tmp_path) == ["pipeline/stages/newcomer/__init__.py"]


@pytest.mark.parametrize("stage", params.STAGES)
def test_a_stage_that_dvc_yaml_lacks_is_found(stage: str) -> None:
    less = {name: entry for name, entry in DAG.items() if name != stage}
    assert wiring.stage_problems(less) == [f"dvc.yaml lacks {stage}"]


def test_a_stage_too_many_and_a_changed_order_are_found(tmp_path: Path) -> None:
    more = {**DAG, "newcomer": {}}
    assert wiring.stage_problems(more) == ["params.STAGES lacks newcomer", "stages lacks newcomer"]
    assert wiring.stage_problems(dict(reversed(DAG.items())))[0].startswith("dvc.yaml lists ")
    (tmp_path / "stages").mkdir()
    assert len(wiring.stage_problems(DAG, tmp_path / "stages")) == len(params.STAGES), "a folder of each"


@pytest.mark.parametrize("stage", [name for name in params.STAGES if "outs" in DAG[name].get("do", DAG[name])])
def test_an_out_that_git_does_not_ignore_is_found(stage: str) -> None:
    ignored = (wiring.ROOT / "data/.gitignore").read_text("utf-8")
    outs = DAG[stage].get("do", DAG[stage])["outs"]
    expected = [f"data/.gitignore lacks /{stage}/"] if any(str(out).startswith("data/") for out in outs) else []
    assert wiring.ignore_problems(DAG, ignored.replace(f"/{stage}/\n", "")) == expected


@pytest.mark.parametrize(("stage", "instance"), SAMPLES, ids=params.STAGES)
def test_a_command_of_another_stage_is_found(stage: str, instance: str | None) -> None:
    found = {**resolved(stage, instance), "cmd": "python -m pipeline fetch"}
    assert len(wiring.command_problems(stage, instance, found)) == 1
