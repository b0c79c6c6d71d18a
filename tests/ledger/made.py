"""Decisions for tests, complete but for what a test is about."""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.ledger.decisions import FIELDS, FIRST, HEADER, LABEL_VERDICTS, PATH, RELABEL, Decision
from tests.project import environment

EMPTY = f"{HEADER}\n".encode()


def decision(image_id: str = "b:1", verdict: str = "keep", **fields: Any) -> Decision:
    """Make a decision that makes sense."""
    default = {
        "sha256": f"sha of {image_id}",
        "other_image_id": "",
        "queue": "suspects",
        "given": "nevus" if verdict in LABEL_VERDICTS else "",
        "to": "melanoma" if verdict == RELABEL else "",
        "steward": "Dr. A. Nurse",
        "decided_at": "2026-01-02T03:04:05+00:00",
        "reason": 'border, "blue veil"',
        "tool": "test",
    }
    return Decision(image_id=image_id, verdict=verdict, **(default | fields))


def numbered(decisions: Sequence[Decision]) -> list[Decision]:
    """Give decisions the line numbers that a new file gives them: the first line is the marked row."""
    return [replace(one, seq=seq) for seq, one in enumerate(decisions, start=2)]


def old(decisions: Sequence[Decision]) -> bytes:
    """Write a ledger as it was before there were later columns."""
    lines = [HEADER]
    for one in decisions:
        text = io.StringIO()
        values = [getattr(one, name) for name in FIELDS[: len(FIRST)]]
        csv.writer(text, lineterminator="").writerow([len(lines), *values, sha256(lines[-1])])
        lines.append(text.getvalue())
    return "\n".join([*lines, ""]).encode()


def sha256(line: str) -> str:
    """Digest a line as the next one names it."""
    return hashlib.sha256(line.encode()).hexdigest()


def git(root: Path, *arguments: str, check: bool = True) -> str:
    """Run git in a project's folder; return what it printed."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def repository(root: Path) -> Path:
    """Make a git repository with an empty ledger; return the ledger's path."""
    git(root, "init", "--quiet", "--initial-branch", "main")
    path = ledger(root)
    (root / ".gitignore").write_text("/data/.cache/\n")
    (root / ".gitattributes").write_text(f"{PATH} -text -merge\n")
    commit(root)
    return path


def commit(root: Path) -> None:
    """Commit everything."""
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "Decisions")


def ledger(root: Path, content: bytes = EMPTY) -> Path:
    """Write the decisions file of a project."""
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
