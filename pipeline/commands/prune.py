"""`prune`: delete what instances that params.yaml no longer lists, and stages that are no more, have left.

A stage that reads many instances depends on their parent folder, so the folder of a removed batch, encoder, arm or
member would go on changing its hash, and would live on in a clone.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.params import INSTANCES, folders, instances, read_tree

FORMER_STAGES = ("opinions", "cross_fit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options: none."""
    del parser


def run(root: Path, options: argparse.Namespace) -> None:
    """Delete what is no longer listed, and say what that was."""
    del options
    removed = prune(root, read_tree(root / "params.yaml"))
    for path in removed:
        print(f"removed {path.relative_to(root)}: params.yaml does not list it")
    if not removed:
        print("nothing to prune: every instance is listed in params.yaml")


def prune(root: Path, tree: Mapping[str, Any]) -> list[Path]:
    """Delete folders of instances and reports `reports/<stage>/<instance>.json` that are not listed.

    Args:
        root: the project's folder.
        tree: params.yaml, checked.

    Returns:
        what was deleted, sorted.

    """
    stale = [path for stage in FORMER_STAGES if (path := root / "data" / stage).is_dir()]
    for stage in INSTANCES:
        stale += _unlisted(root / "data" / stage, [Path(folder) for folder in folders(tree, stage)])
        listed = set(instances(tree, stage))
        stale += [path for path in (root / "reports" / stage).glob("*.json") if path.stem not in listed]
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return sorted(stale)


def _unlisted(parent: Path, listed: Sequence[Path]) -> list[Path]:
    """List the folders below a stage's that are neither listed nor above one that is."""
    kept = {parent / above for path in listed for above in (path, *path.parents)}
    return [
        path for above in kept - {parent / path for path in listed} for path in above.glob("*/") if path not in kept
    ]
