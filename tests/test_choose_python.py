"""Which Python `make` takes, of fakes on a PATH of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT

SCRIPT = ROOT / "install/choose_python.sh"
NEEDED = "error: Python 3.11, 3.12 or 3.13 is needed: "


def fake(folder: Path, name: str, version: tuple[int, int], *, venv: bool = True) -> Path:
    """Write a Python that says to be of a version, and may lack what Debian has in a package of its own."""
    missing = "" if venv else "sys.modules['ensurepip'] = None; "
    code = f"import sys; sys.version_info = {(*version, 0)}; {missing}exec(sys.argv[1])"
    return script(folder / name, f'exec {sys.executable} -c "{code}" "$2"')


def shim(folder: Path, name: str) -> Path:
    """Write what a version manager leaves of a Python that is not installed."""
    return script(folder / name, f"echo '{name}: command not found' >&2; exit 127")


def script(path: Path, line: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def choose(*folders: Path, named: str | None = None) -> str:
    """Return the Python that is taken, or the sentence that says why none is."""
    command = ["/bin/sh", str(SCRIPT), *([named] if named else [])]
    done = subprocess.run(
        command, env={"PATH": ":".join(map(str, folders))}, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == bool(done.stdout)
    return (done.stdout + done.stderr).removesuffix("\n")


def test_the_newest_python_is_taken(tmp_path: Path) -> None:
    fake(tmp_path, "python3.11", (3, 11))
    newest = fake(tmp_path, "python3.12", (3, 12))
    fake(tmp_path, "python3", (3, 11))
    assert choose(tmp_path) == str(newest)


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_a_python_that_is_called_python3_alone_will_do(tmp_path: Path, minor: int) -> None:
    assert choose(tmp_path, tmp_path) == f"{NEEDED}python3 is not on PATH; install one, or name it with make PYTHON=…"
    only = fake(tmp_path, "python3", (3, minor))
    assert choose(tmp_path) == str(only)


def test_a_shim_that_does_not_run_hides_no_python(tmp_path: Path) -> None:
    shim(tmp_path / "shims", "python3.13")
    shim(tmp_path / "shims", "python3.11")
    good = fake(tmp_path / "bin", "python3.11", (3, 11))
    assert choose(tmp_path / "shims", tmp_path / "bin") == str(good)


def test_a_newer_python_without_venv_gives_way(tmp_path: Path) -> None:
    fake(tmp_path, "python3.13", (3, 13), venv=False)
    good = fake(tmp_path, "python3.11", (3, 11))
    assert choose(tmp_path) == str(good)


def test_a_python_too_new_is_refused_with_the_reason(tmp_path: Path) -> None:
    only = fake(tmp_path, "python3", (3, 14))
    shown = choose(tmp_path)
    assert shown.startswith(f"{NEEDED}{only} is 3.14, for which the pymongo that fiftyone needs has no wheel;")


def test_a_python_without_venv_is_told_its_package(tmp_path: Path) -> None:
    fake(tmp_path, "python3", (3, 13), venv=False)
    fake(tmp_path, "python3.13", (3, 13), venv=False)
    shown = choose(tmp_path)
    assert shown.count("lacks venv (on Debian and Ubuntu: apt install python3.13-venv)") == 1


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("python3.9", "/python3.9 is 3.9;"),
        ("python3.14", "/python3.14 is 3.14, for which"),
        ("python3.12", "/python3.12 does not run;"),
        ("python3.13", "/python3.13 lacks venv"),
        ("python3.15", "python3.15 is not on PATH;"),
        ("/no/such/python", "/no/such/python does not run;"),
    ],
)
def test_a_python_that_the_user_names_is_judged_likewise(tmp_path: Path, named: str, reason: str) -> None:
    for minor in (9, 11, 14):
        fake(tmp_path, f"python3.{minor}", (3, minor))
    shim(tmp_path, "python3.12")
    fake(tmp_path, "python3.13", (3, 13), venv=False)
    assert choose(tmp_path, named="python3.11") == str(tmp_path / "python3.11")
    shown = choose(tmp_path, named=named)
    assert shown.startswith(NEEDED)
    assert reason in shown


def test_make_stops_with_the_sentence(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "install", tmp_path / "install")
    done = subprocess.run(
        ["make", "demo", "PYTHON=python2.5"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{NEEDED}python2.5 is not on PATH")
    assert not (tmp_path / ".venv").exists()


def test_the_lock_has_one_version_of_each_package_and_names_no_index() -> None:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    names = [line.split("==")[0] for line in lines if line[:1].isalnum()]
    assert len(names) == len(set(names)) > 200
    assert [line for line in lines if "://" in line or line.startswith("-")] == []
