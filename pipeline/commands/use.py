"""`use <profile>`: make a named set of params the current one."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.commands.prune import prune
from pipeline.core.errors import UserError
from pipeline.params import refuse_renamed
from pipeline.profiles import FOLDER, compose, load, profiles
from pipeline.yaml_text import leaves, parse
from pipeline.yaml_values import read_yaml

BACKUP = "params.yaml.bak"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("profile", nargs="?", help=f"name of a file in {FOLDER}/, without .yaml")


def run(root: Path, options: argparse.Namespace) -> None:
    """Write params.yaml from a profile and prune, or list the profiles."""
    if options.profile is None:
        for name in profiles(root):
            print(f"{'*' if is_current(root, name) else ' '} {name}")
        return
    tree, backup = use(root, options.profile)
    if backup:
        print(f"params.yaml held changes that are in no profile and not in git: they are kept in {backup.name}")
        print(_renamed(backup), end="")
    print(f"params.yaml is {FOLDER}/{options.profile}.yaml, laid over {FOLDER}/default.yaml")
    for path in prune(root, tree):
        print(f"removed {path.relative_to(root)}: the profile does not list it")
    for hint in missing_data(root, tree):
        print(hint)


def use(root: Path, profile: str) -> tuple[dict[str, Any], Path | None]:
    """Compose a profile, check it, and write it as params.yaml.

    Returns:
        the tree, and the file that what params.yaml held is kept in; None if nothing would have been lost.

    Raises:
        UserError: there is no such profile, or it is wrong.

    """
    target = root / "params.yaml"
    if profile not in profiles(root):
        raise UserError(f"{FOLDER}/ has no {profile!r}: say one of {', '.join(profiles(root)) or 'none, it is empty'}")
    text, tree = load(root / FOLDER / f"{profile}.yaml")
    backup = _keep(root) if target.exists() and is_unsaved(root) else None
    temporary = target.with_name(".params.yaml.partial")
    temporary.write_text(text, "utf-8")
    temporary.replace(target)
    return tree, backup


def is_current(root: Path, profile: str) -> bool:
    """Tell whether params.yaml says what that profile says, however it is written."""
    try:
        composed = read_yaml(compose(root / FOLDER, profile))
        return bool(read_yaml((root / "params.yaml").read_text("utf-8")) == composed)
    except (FileNotFoundError, UserError, ValueError, yaml.YAMLError):
        return False


def is_unsaved(root: Path) -> bool:
    """Tell whether params.yaml holds something, be it a comment, that no profile and not git's last commit holds."""
    held = (root / "params.yaml").read_bytes()
    for name in profiles(root):
        try:
            if compose(root / FOLDER, name).encode() == held:
                return False
        except UserError:
            continue  # a profile that cannot be composed saves nothing
    done = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=root, capture_output=True, check=False)
    return done.returncode != 0 or done.stdout != held


def missing_data(root: Path, tree: Mapping[str, Any]) -> list[str]:
    """Say which raw data the params need that are not there yet."""
    needed = [*tree["batches"], "weights"]
    return [f"data/raw/{name} is not there yet: fetch it" for name in needed if not (root / "data/raw" / name).is_dir()]


def _keep(root: Path) -> Path:
    """Copy params.yaml to the first backup that is free, or holds it already."""
    held, number = (root / "params.yaml").read_bytes(), 1
    while (path := root / (BACKUP if number == 1 else f"{BACKUP}{number}")).exists() and path.read_bytes() != held:
        number += 1
    path.write_bytes(held)
    return path


def _renamed(backup: Path) -> str:
    """Say which keys of a replaced params.yaml have another name now; nothing where it is of this version."""
    try:
        refuse_renamed([place for place, _ in leaves(parse(backup.read_text("utf-8")).entries)])
    except UserError as error:
        return f"{error}\n"
    except (UnicodeDecodeError, yaml.YAMLError):
        return ""
    return ""
