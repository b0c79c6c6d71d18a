"""A steward's session with the real FiftyOne and MongoDB, in processes of their own (their imports warn)."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.review.samples import read_samples
from tests.review.made import apply_decisions, project
from tests.review.opened import ROOT, Opened, environment

FIFTYONES = {"id", "filepath", "tags", "metadata", "created_at", "last_modified_at"}  # fields that every dataset has

TAGS = {
    "demo:01": ["not_a_duplicate"],
    "demo:02": ["relabel:melanoma", "ask Ann"],
    "demo:03": ["drop", "keep"],
    "demo:04": ["@keep"],
    "demo:05": ["@dorp"],
}

pytestmark = pytest.mark.pipeline


def look(root: Path, tags: dict[str, list[str]]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.review.look", json.dumps(tags)]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_what_is_tagged_in_the_app_reaches_the_ledger_once(tmp_path: Path) -> None:
    store = project(tmp_path)

    shown = look(tmp_path, TAGS)
    assert len(shown["rows"]) == len(shown["points"]) == 12
    positions = read_samples(Store(tmp_path), ["demo"], "clip").positions
    assert positions is not None
    assert np.allclose(shown["points"], positions)
    assert shown["views"]["duplicates side by side"] == ["demo:00", "demo:01"]
    error = read_samples(Store(tmp_path), ["demo"], "clip").rows.set_index("image_id")["error_probability"]
    assert shown["views"]["suspects"] == error[error >= 0.5].sort_values(ascending=False).index.tolist()
    assert set(shown["views"]) == {
        "duplicates",
        "duplicates side by side",
        "suspects",
        "ambiguous",
        "off topic",
        "decided",
    }
    assert all(Path(row["filepath"]).exists() for row in shown["rows"].values())
    page = (ROOT / "docs/reviewer.md").read_text("utf-8")
    told = {*shown["views"], *shown["brain_runs"], *shown["fields"]} - FIFTYONES
    assert [name for name in sorted(told) if f"`{name}`" not in page] == []

    status, output = _session(tmp_path)
    assert status == 1, "one image has contradicting tags"
    assert "recorded 3 tags of Dr. A" in output
    assert "demo:05: dorp looks like drop, and is not" in output
    assert "demo:03: drop and keep contradict each other: leave one" in output
    assert "3 of 3 decisions await application" in output
    decisions = file.read(tmp_path / PATH).decisions
    assert [(d.subject, d.verdict) for d in decisions] == [
        (("demo:00", "demo:01"), "not_a_duplicate"),
        (("demo:02",), "relabel"),
        (("demo:04",), "keep"),
    ]

    apply_decisions(store)  # new tables: the dataset is built anew, and the tags that are left move over
    shown = look(tmp_path, {"demo:04": ["keep"], "demo:03": ["not_sure"]})
    assert {name: row["tags"] for name, row in shown["rows"].items() if row["tags"]} == {
        "demo:02": ["ask Ann"],
        "demo:03": ["drop", "keep"],
        "demo:05": ["dorp"],
    }
    assert shown["rows"]["demo:02"]["decision"] == "relabel melanoma (Dr. A)"
    assert shown["rows"]["demo:01"]["excluded"] is None

    command = [sys.executable, "-m", "pipeline", "review", "--save", "--queue", "all", "--steward", "Dr. A"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert "recorded 0 tags" in done.stdout, done.stderr
    assert len(file.read(tmp_path / PATH).decisions) == 3


def _session(root: Path) -> tuple[int, str]:
    """Open the App, fetch its page, and press Ctrl-C; return exit status and output."""
    with Opened(root, "--queue", "all", "--steward", "Dr. A") as session:
        children = psutil.Process(session.process.pid).children(recursive=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{session.port}/") as page:
            assert page.status == 200
            assert b"<html" in page.read()
        listening = {c.laddr.ip for child in children for c in child.net_connections("tcp") if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        assert "mongod" in {child.name() for child in children}
        status = session.end()
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        return status, session.output
