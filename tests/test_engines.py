"""`engine: ray` and `engine: local` give the same bytes, whatever calls `map_shards`."""

from __future__ import annotations

import ast
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_engine import kill_a_stage
from tests.project import ROOT, environment

pytestmark = pytest.mark.pipeline

CORES = 2

ALL = """
import sys
from pathlib import Path
from tests.engines import main
main(sys.argv[1], Path(sys.argv[2]), cores=int(sys.argv[3]), node=int(sys.argv[4]) or None)
"""
GPU = """
from pipeline.core.engine import Resources, map_shards
from tests.core.test_engine import visible_gpus
print(list(map_shards(visible_gpus, range(2), label="t", engine="ray", resources=Resources(gpus=1))))
"""


def callers() -> set[str]:
    """List the modules of the pipeline that call `map_shards`."""
    found = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        calls = (node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        if any(isinstance(call, ast.Name) and call.id == "map_shards" for call in calls):
            found.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def digests(root: Path) -> dict[str, str]:
    files = [path for folder in ("data", "reports") for path in (root / folder).rglob("*") if path.is_file()]
    kept = [path for path in files if ".cache" not in path.parts]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def run(*arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def node(*options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A node of a cluster, started as docs/cluster.md says; yield its process, of which all others are children."""
    command = ["ray", "start", "--block", f"--num-cpus={CORES}", f"--object-store-memory={100 << 20}", *options]
    with subprocess.Popen(
        command, env=environment() | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as started:
        assert started.stdout is not None
        try:
            assert any("Ray runtime started" in line for line in started.stdout)
            yield started
        finally:
            started.terminate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """The variables with which a process joins a cluster of one node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    with node("--head", "--include-dashboard=false", f"--port={port}", "--num-gpus=1", **variables):
        yield variables | {"RAY_ADDRESS": f"127.0.0.1:{port}"}


def test_a_cluster_gives_the_same_bytes_though_a_worker_and_a_node_of_it_die(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    """All callers, on two nodes that share a folder; what dies is at work."""
    shards_of: dict[str, Any] = {}
    with node(f"--address={cluster['RAY_ADDRESS']}", **cluster) as second:
        for engine, variables, killed in (("local", {}, 0), ("ray", cluster, second.pid)):
            (tmp_path / engine).mkdir()
            output = run("-c", ALL, engine, str(tmp_path / engine), str(CORES), str(killed), **variables)
            shards_of[engine] = json.loads(output.splitlines()[-1])
        assert second.poll() is not None, "the node lives"
    assert set(shards_of["local"]) == callers()
    assert shards_of["ray"] == shards_of["local"]
    assert min(shards_of["local"].values()) > 1, shards_of
    local = digests(tmp_path / "local")
    assert len(local) > 50
    assert digests(tmp_path / "ray") == local


def test_the_tasks_of_a_killed_stage_are_gone_from_the_cluster_before_the_next_run_starts(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    assert kill_a_stage(tmp_path, "ray", environment() | cluster) == []


def test_a_task_gets_the_gpu_that_it_declares(cluster: dict[str, str]) -> None:
    assert run("-c", GPU, **cluster) == "['0', '0']\n"
