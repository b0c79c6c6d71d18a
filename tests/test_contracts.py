"""The import contracts of pyproject.toml bite: each refuses what is planted, in every place below `pipeline/`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.project import ROOT

CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}
CHAIN = re.compile(r"-\s+(\S+) -> (\S+) \(l\.")
Import = tuple[str, str]  # the module that imports, and what


def children(package: str, root: Path = ROOT) -> list[str]:
    """List the packages and modules of a package; there is no code in `__init__`."""
    folder = root.joinpath(*package.split("."))
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    return [f"{package}.{name}" for name in sorted([*packages, *modules])]


def expand(pattern: str) -> list[str]:
    """List what a contract's pattern stands for; `pipeline.stages` stands for each of them."""
    found = children(pattern.removesuffix(".*")) if pattern.endswith(".*") else [pattern]
    return [name for one in found for name in (children(one) if one == "pipeline.stages" else [one])]


def module_of(target: str) -> str:
    """Name a module of a package of ours, since a package as such holds no code; others stand for themselves."""
    while target.startswith("pipeline.") and ROOT.joinpath(*target.split(".")).is_dir():
        target = children(target)[0]
    return target


def is_allowed(contract: Mapping[str, Any], planted: Import) -> bool:
    for line in contract.get("ignore_imports", ()):
        patterns = [re.escape(side).replace(r"\*\*", ".+").replace(r"\*", "[^.]+") for side in line.split(" -> ")]
        if all(re.fullmatch(pattern, name) for pattern, name in zip(patterns, planted, strict=True)):
            return True
    return False


def violations(contract: Mapping[str, Any]) -> Iterator[Import]:
    """List an import for every place that a contract speaks of and everything that it forbids there."""
    if contract["type"] == "independence":
        members = [name for pattern in contract["modules"] for name in expand(pattern)]
        pairs = list(zip(members, [f"{name}.stage" for name in [*members[1:], members[0]]], strict=True))
    else:
        sources = [name for pattern in contract["source_modules"] for name in expand(pattern)]
        pairs = [(source, module_of(target)) for source in sources for target in contract["forbidden_modules"]]
    for number, (source, target) in enumerate(pairs):
        package = ROOT.joinpath(*source.split(".")).is_dir()
        planted = f"{source}.planted_{number}" if package else source
        if not is_allowed(contract, (planted, target)):
            yield planted, target


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and of its contracts."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(root: Path, planted: Import) -> None:
    """Write an import into a module, which is made, and so is its package, where there is none."""
    module, target = planted
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\nimport {target}\n")


def refused(root: Path) -> dict[str, set[Import]]:
    """Lint a copy; return the imports that are refused, by contract."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(
        command, cwd=root, env={"COLUMNS": "1000", "PYTHONUTF8": "1"}, capture_output=True, text=True, check=False
    )
    broken = re.findall(r"^(.+?) BROKEN", done.stdout, re.MULTILINE)
    assert done.returncode == (1 if broken else 0), done.stdout + done.stderr
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    parts = re.split(r"^(.+)\n-+\n", done.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    told = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {name: set(CHAIN.findall(told[name])) for name in broken}


def test_the_code_keeps_every_contract(copy: Path) -> None:
    assert refused(copy) == {}


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_refuses_what_it_forbids_in_every_place(copy: Path, name: str) -> None:
    planted = list(violations(CONTRACTS[name]))
    assert planted
    for one in planted:
        plant(copy, one)
    assert set(planted) - refused(copy)[name] == set()


NEW_STAGE = {
    ("pipeline.stages.newcomer.stage", "pipeline.stages.ingest.stage"): "Stages know of each other only the tables",
    ("pipeline.stages.ingest.planted", "pipeline.stages.newcomer.stage"): "Stages know of each other only the tables",
    ("pipeline.stages.newcomer.stage", "pipeline.commands.main"): "Stages do not know what is around the DAG",
    ("pipeline.stages.newcomer.stage", "pipeline.models.weights"): "Only embed and train use models",
    ("pipeline.stages.newcomer.stage", "torch"): "Only models and embed import torch",
    ("pipeline.stages.newcomer.stage", "fiftyone"): "Only review imports fiftyone",
    ("pipeline.stages.newcomer.stage", "socket"): "Only fetch opens connections",
}
NEW_ROOM = {
    ("pipeline.room.module", "torch"): "Only models and embed import torch",
    ("pipeline.room.module", "fiftyone"): "Only review imports fiftyone",
    ("pipeline.room.module", "urllib"): "Only fetch opens connections",
}


@pytest.mark.parametrize("expected", [NEW_STAGE, NEW_ROOM], ids=["a stage", "a room"])
def test_a_new_folder_is_under_contract_without_a_line(copy: Path, expected: Mapping[Import, str]) -> None:
    for planted in expected:
        plant(copy, planted)
    found = refused(copy)
    assert {planted: name for planted, name in expected.items() if planted not in found.get(name, ())} == {}


def test_a_stage_may_import_core_and_other_stages_tables(copy: Path) -> None:
    plant(copy, ("pipeline.stages.newcomer.stage", "pipeline.core.store"))
    plant(copy, ("pipeline.stages.newcomer.stage", "pipeline.stages.dedup.tables"))
    assert refused(copy) == {}


def test_nothing_below_the_package_is_forgotten() -> None:
    everything = set(children("pipeline"))
    core = CONTRACTS["Core knows nobody"]
    assert {*core["source_modules"], *core["forbidden_modules"]} == everything
    around = CONTRACTS["Stages do not know what is around the DAG"]
    assert {*around["source_modules"], *around["forbidden_modules"], "pipeline.core"} == everything
    for name in (
        "Only models and embed import torch",
        "Only review imports fiftyone",
        "Only fetch opens connections",
    ):
        assert CONTRACTS[name]["source_modules"] == ["pipeline.*"]
