"""`use <profile>`: make a named set of params the current one."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.commands.prune import prune
from pipeline.core.errors import UserError
from pipeline.params import read_tree

FOLDER = "profiles"
BACKUP = "params.yaml.bak"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("profile", nargs="?", help=f"name of a file in {FOLDER}/, without .yaml")


def run(root: Path, options: argparse.Namespace) -> None:
    """Copy a profile over params.yaml and prune, or list the profiles."""
    if options.profile is None:
        for name in profiles(root):
            print(f"{'*' if is_current(root, name) else ' '} {name}")
        return
    if use(root, options.profile):
        print(f"params.yaml held changes that are in no profile and not in git: they are kept in {BACKUP}")
    print(f"params.yaml is {FOLDER}/{options.profile}.yaml")
    tree = read_tree(root / "params.yaml")
    for path in prune(root, tree):
        print(f"removed {path.relative_to(root)}: the profile does not list it")
    for hint in missing_data(root, tree):
        print(hint)


def use(root: Path, profile: str) -> bool:
    """Copy a profile over params.yaml, once it is checked; say whether unsaved changes were put into the backup.

    Raises:
        UserError: there is no such profile, or it is wrong.

    """
    source, target = root / FOLDER / f"{profile}.yaml", root / "params.yaml"
    if profile not in profiles(root):
        raise UserError(f"{FOLDER}/ has no {profile!r}: say one of {', '.join(profiles(root)) or 'none, it is empty'}")
    try:
        read_tree(source)
    except UserError as error:
        raise UserError(f"{FOLDER}/{profile}.yaml cannot be used: {error}") from None
    unsaved = target.exists() and is_unsaved(root)
    if unsaved:
        (root / BACKUP).write_bytes(target.read_bytes())
    temporary = target.with_name(".params.yaml.partial")
    temporary.write_bytes(source.read_bytes())
    temporary.replace(target)
    return unsaved


def profiles(root: Path) -> list[str]:
    """List the profiles by name."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml"))


def is_current(root: Path, profile: str) -> bool:
    """Tell whether params.yaml is that profile, byte for byte."""
    target = root / "params.yaml"
    return target.exists() and target.read_bytes() == (root / FOLDER / f"{profile}.yaml").read_bytes()


def is_unsaved(root: Path) -> bool:
    """Tell whether params.yaml holds something that neither a profile nor git's last commit holds."""
    if any(is_current(root, name) for name in profiles(root)):
        return False
    done = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=root, capture_output=True, check=False)
    return done.returncode != 0 or done.stdout != (root / "params.yaml").read_bytes()


def missing_data(root: Path, tree: Mapping[str, Any]) -> list[str]:
    """Say which raw data the params need that are not there yet."""
    needed = [*tree["batches"], "weights"]
    return [f"data/raw/{name} is not there yet: fetch it" for name in needed if not (root / "data/raw" / name).is_dir()]
