"""From which data, code and params a report came."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CODE = ("pipeline", "taxonomies", "dvc.yaml", "requirements.lock")  # what, beside data and params, makes the figures
DIGITS = 12  # of a digest that people compare


@dataclass(frozen=True)
class Revision:
    """The code's commit; `changed` are the files of it that are not as committed. No commit where there is no git."""

    commit: str
    changed: list[str]

    @property
    def words(self) -> str:
        """Say it in one line."""
        if not self.commit:
            return "not under git: no revision names this code"
        if not self.changed:
            return f"git {self.commit[:DIGITS]}, clean"
        return f"git {self.commit[:DIGITS]}, dirty: {len(self.changed)} files are not as committed"


def read_revision(root: Path) -> Revision:
    """Ask git which commit the code is at, and which of its files are other or new."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    status = _git(root, "status", "--porcelain", "--", *CODE)
    return Revision(commit.strip(), [line[3:] for line in status.splitlines()])


def describe(root: Path, tree: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name data, code, params, encoder and ledger, each with what identifies it."""
    params = hashlib.sha256((root / "params.yaml").read_bytes()).hexdigest()
    profile = results["profile"]
    params_words = "params.yaml" if profile == "custom" else f"profile {profile}"
    rows = f"{results['raw_rows']:,} rows"
    return [
        ("Data", "; ".join(_batch(root, batch) for batch in tree["batches"]) + f"; {rows}"),
        ("Code", read_revision(root).words),
        ("Params", f"{params_words}, sha256 {params[:DIGITS]}"),
        ("Encoder", results["settings"]["encoder"]),
        ("Test set", f"sha256 {results['metrics']['sets']['test']['sha256'][:DIGITS]}"),
    ]


def _batch(root: Path, batch: str) -> str:
    """Name a batch and the digest under which DVC tracks it."""
    tracked = root / f"data/raw/{batch}.dvc"
    if not tracked.exists():
        return f"{batch}, not tracked by DVC"
    digest = yaml.safe_load(tracked.read_text("utf-8"))["outs"][0].get("md5", "unknown")
    return f"{batch}, md5 {digest.removesuffix('.dir')[:DIGITS]}"


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
