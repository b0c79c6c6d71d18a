"""A tiny project in a folder of its own: the real dvc.yaml and code, few drawn images, networks with random weights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import params

ROOT = Path(__file__).parent.parent
COPIED = (
    "pipeline",
    "taxonomies",
    "profiles",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    ".gitattributes",
    "data/.gitignore",
    "data/review",
)

NETWORK = {
    "backbone": "test_resnet",
    "weights": "tiny.safetensors",
    "trainable": "all",
    "side_pixels": 32,
    "epochs": 2,
    "patience_epochs": 2,
    "batch_size": 16,
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "schedule": "cosine",
    "warmup_epochs": 0,
    "weight_decay": 0.01,
    "label_smoothing": 0.0,
    "mixup_alpha": 0.0,
    "ema_decay": 0.0,
    "precision": "fp32",
    "augmentation": "light",
    "test_time_augmentation": "none",
    "folds": 1,
}
HEAD = {
    "backbone": "test_resnet",
    "weights": "tiny.safetensors",
    "trainable": "head",
    "side_pixels": 32,
    "precision": "fp32",
    "folds": 1,
}
PROBE = {"backbone": "first", "trainable": "probe", "folds": 1}


@dataclass(frozen=True)
class Project:
    """A DVC project that tests may run, break and clone."""

    root: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder; fail with its output."""
        done = subprocess.run(command, cwd=self.root, env=environment(), capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def dvc(self, *arguments: str, check: bool = True) -> str:
        """Run DVC; return what it printed."""
        done = self.run(sys.executable, "-m", "dvc", *arguments, check=check)
        return done.stdout + done.stderr

    def pipeline(self, *arguments: str, check: bool = True) -> str:
        """Run `python -m pipeline`; return what it printed."""
        done = self.run(sys.executable, "-m", "pipeline", *arguments, check=check)
        return done.stdout + done.stderr

    def ran(self, output: str) -> list[str]:
        """List the stages that a `dvc repro` ran, by what it printed."""
        return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]

    def runs(self) -> str:
        """Return the log of stages that ran, one JSON object a line."""
        return (self.root / "data/.cache/runs.jsonl").read_text("utf-8")

    def set_params(self, **changes: Any) -> None:
        """Change params.yaml; `a__b=1` sets `a.b`, None as the value deletes nothing."""
        path = self.root / "params.yaml"
        tree = params.changed(yaml.safe_load(path.read_text("utf-8")), **changes)
        path.write_text(yaml.safe_dump(tree, sort_keys=False), "utf-8")

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "--quiet", "--allow-empty", "-m", message)


def environment() -> dict[str, str]:
    """Return an environment in which `python` is this one, and git needs no configuration."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    identity = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _PERSON.items()}
    return {**os.environ, **identity, "PATH": path, "DVC_NO_ANALYTICS": "1"}


_PERSON = {"NAME": "A Steward", "EMAIL": "steward@example.org"}


def create(root: Path, *, images: int) -> Project:
    """Set up a project with one drawn batch, ready for `dvc repro`."""
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    packing = root / "pipeline/stages/ingest/packing.py"
    cut_small, changed = re.subn(r"(?m)^IMAGES_PER_SHARD = 1000\b", "IMAGES_PER_SHARD = 32", packing.read_text("utf-8"))
    assert changed, "few images would be one shard, and no stage would have several"
    packing.write_text(cut_small, "utf-8")
    project = Project(root)
    (root / "params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False), "utf-8")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.dvc("init", "--quiet")
    shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots")
    project.dvc("config", "core.analytics", "false")
    draw_weights(root)
    project.dvc("add", "--quiet", "data/raw/weights")
    project.pipeline("fetch", "demo", "--images", str(images))
    project.commit("Start")
    return project


def tiny_params() -> dict[str, Any]:
    """Return the demo's params with the smallest networks."""
    encoder = {"library": "timm", "model": "test_resnet", "weights": "tiny.safetensors", "source": "package"}
    return params.tree(
        members=["one", "two"],
        train__members={"one": NETWORK, "two": PROBE},
        encoders=["first", "second"],
        embed__encoders={
            "first": encoder | {"side_pixels": None, "layers": []},
            "second": encoder | {"side_pixels": 64, "layers": [3]},
        },
        evaluate__bootstrap=50,
    )


def draw_weights(root: Path) -> None:
    """Write random weights of the tiny encoder, from a seed."""
    folder = root / "data/raw/weights"
    folder.mkdir(parents=True)
    code = """
import sys, timm, torch
from pathlib import Path
from pipeline.models.weights import Card, save_weights, timm_preprocessing
torch.manual_seed(0)
network = timm.create_model("test_resnet", num_classes=0)
tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
save_weights(Path(sys.argv[1]), tensors, Card("timm/test_resnet", timm_preprocessing(network)))
"""
    command = [sys.executable, "-c", code, str(folder / "tiny.safetensors")]
    subprocess.run(command, check=True, cwd=root, env=environment())
    (folder / "weights.json").write_text("{}\n", "utf-8")  # make need not fetch them
