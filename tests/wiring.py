"""Compare dvc.yaml with what the code imports, receives, reads and writes; every difference is a sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

from pipeline import params

ROOT = Path(__file__).parent.parent


def read_dag(path: Path = ROOT / "dvc.yaml") -> dict[str, Any]:
    dag: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["stages"]
    return dag


def entry(dag: Mapping[str, Any], tree: Mapping[str, Any], stage: str, instance: str | None) -> dict[str, Any]:
    """Resolve `foreach`, `matrix` and references to params.yaml for one instance."""
    text = yaml.safe_dump(dag[stage].get("do", dag[stage]))
    if instance:
        axes = [params.AXES[axis] for axis in params.INSTANCES[stage]]
        for axis, value in zip(axes, instance.split("-"), strict=True):
            text = text.replace(f"${{item.{axis}}}", value)
        text = text.replace("${item}", instance)
    text = re.sub(r"(\$\{[\w.]+)\[(\d+)\]\}", r"\1.\2}", text)  # of a list: `a[0]` is `a.0`
    text = re.sub(r"\$\{([\w.]+)\}", lambda reference: str(_value(tree, reference[1])), text)
    resolved: dict[str, Any] = yaml.safe_load(text)
    return resolved


def code_problems(stage: str, found: Mapping[str, Any]) -> list[str]:
    """Say which modules a stage imports that no code dep covers, and which code deps nothing of it imports."""
    deps = [dep for dep in found["deps"] if dep.startswith("pipeline/")]
    imported = closure(stage)
    covered = {file for dep in deps for file in _files(dep)}
    problems = [f"{stage} imports {file}, which is not among its deps" for file in sorted(imported - covered)]
    problems += [f"{stage} depends on {file}, which it does not import" for file in sorted(covered - imported)]
    return problems


def params_problems(tree: Mapping[str, Any], stage: str, instance: str | None, found: Mapping[str, Any]) -> list[str]:
    """Say which knobs a stage receives that DVC does not track, and the other way round."""
    received = {leaf for key in params.keys(stage, instance).values() for leaf in _leaves(tree, key)}
    tracked = {leaf for key in found.get("params", []) for leaf in _leaves(tree, key)}
    problems = [f"{stage} receives {key}, which is not among its params" for key in sorted(received - tracked)]
    return problems + [f"{stage} lists {key}, which it does not receive" for key in sorted(tracked - received)]


def data_problems(
    stage: str,
    found: Mapping[str, Any],
    reads: Iterable[str],
    writes: Iterable[str],
    *,
    elsewhere: Iterable[str] = (),
) -> list[str]:
    """Say which files an instance touched that dvc.yaml does not name, and what it names that was not touched.

    Args:
        stage: its name.
        found: the instance's entry in dvc.yaml.
        reads: files that it read.
        writes: files that it wrote.
        elsewhere: files that the stage's other instances read: one entry names what any of them needs.

    """
    deps = [dep for dep in found["deps"] if not dep.startswith("pipeline/")]
    outs = [path for kind in ("outs", "metrics", "plots") for path in _paths(found.get(kind, []))]
    problems: list[str] = []
    for done, touched, by_others, named in (("reads", reads, elsewhere, deps), ("writes", writes, (), outs)):
        files = set(touched)
        met = files | set(by_others)
        problems += [
            f"{stage} {done} {file}, which dvc.yaml does not name" for file in sorted(files) if not _under(file, named)
        ]
        problems += [
            f"{stage} names {name}, but never {done} it" for name in named if not any(_under(f, [name]) for f in met)
        ]
    return problems


@cache
def closure(stage: str) -> frozenset[str]:
    """List the files of all modules that a stage's entry module imports, directly or not; empty packages left out."""
    graph = _graph()
    entry_module = f"pipeline.stages.{stage}.stage"
    modules = {entry_module, f"pipeline.stages.{stage}.params", *graph.find_upstream_modules(entry_module)}
    modules |= set(graph.find_upstream_modules(f"pipeline.stages.{stage}.params"))
    return frozenset(str(path.relative_to(ROOT)) for path in map(_file, modules) if path.name != "__init__.py")


def init_problems(root: Path = ROOT) -> list[str]:
    """Say which `__init__.py` holds more than a docstring: they are imported, but no dep names them."""
    return [
        str(path.relative_to(root))
        for path in (root / "pipeline").rglob("__init__.py")
        if any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text("utf-8")).body)
    ]


def stage_problems(dag: Mapping[str, Any], folder: Path = ROOT / "pipeline/stages") -> list[str]:
    """Say which stages dvc.yaml, params.STAGES and the folder of stages do not name alike, in order."""
    folders = {path.parent.name for path in folder.glob("*/stage.py")}
    named: dict[str, Collection[str]] = {"dvc.yaml": dag, "params.STAGES": params.STAGES, folder.name: folders}
    problems = [
        f"{place} lacks {stage}"
        for stage in sorted({stage for stages in named.values() for stage in stages})
        for place, stages in named.items()
        if stage not in stages
    ]
    if not problems and list(dag) != list(params.STAGES):
        problems = [f"dvc.yaml lists {list(dag)}, not in the order of params.STAGES"]
    return problems


def ignore_problems(dag: Mapping[str, Any], ignored: str) -> list[str]:
    """Say which outs below `data/` git does not ignore; DVC would write the line into the hand-written file.

    Args:
        dag: the stages of dvc.yaml.
        ignored: the text of data/.gitignore.

    """
    lines = set(ignored.splitlines())
    outs = [path for stage in dag.values() for path in _paths(stage.get("do", stage).get("outs", []))]
    folders = {path.split("/")[1] for path in outs if path.startswith("data/")}
    return [f"data/.gitignore lacks /{folder}/" for folder in sorted(folders) if f"/{folder}/" not in lines]


def command_problems(stage: str, instance: str | None, found: Mapping[str, Any]) -> list[str]:
    """Say which command does not run the stage, or not the instance."""
    wanted = " ".join(["python -m pipeline", stage, *([instance] if instance else [])])
    return [] if found["cmd"] == wanted else [f"{stage} runs {found['cmd']!r}, not {wanted!r}"]


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline", cache_dir=None)


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _files(dep: str) -> set[str]:
    path = ROOT / dep
    files = path.rglob("*.py") if path.is_dir() else [path]
    return {str(file.relative_to(ROOT)) for file in files if file.name != "__init__.py"}


def _leaves(tree: Mapping[str, Any], key: str) -> set[str]:
    value = _value(tree, key)
    if not isinstance(value, Mapping):
        return {key}
    return {leaf for name in value for leaf in _leaves(tree, f"{key}.{name}")}


def _value(tree: Mapping[str, Any], key: str) -> Any:
    """Look a dotted key up, such as `a.b` or, of lists, `a.0`."""
    value: Any = tree
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _paths(items: Iterable[str | Mapping[str, Any]]) -> list[str]:
    return [item if isinstance(item, str) else next(iter(item)) for item in items]


def _under(file: str, folders: Iterable[str]) -> bool:
    return any(file == folder or file.startswith(f"{folder}/") for folder in folders)
