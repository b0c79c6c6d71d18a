"""Virtual environments for peers whose requirements conflict with the project's lock; made on first use, by uv."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENTS = Path(__file__).parent / ".envs"
TIMEOUT_S = 1800
PEERS = {  # what is installed for each
    "imagededup": ("imagededup==0.3.3.post2",),
    "cleanvision": ("cleanvision==0.3.7",),
    "selfclean": ("selfclean==0.0.39",),
}


class UnavailableError(Exception):
    """A peer cannot be run here; the message is the reason, in one line."""


def interpreter(name: str, requirements: Sequence[str], *, root: Path = ENVIRONMENTS) -> Path:
    """Return the Python of an environment that holds the requirements.

    Args:
        name: of the environment's folder; other requirements make another one.
        requirements: as pip reads them.
        root: where environments lie.

    Raises:
        UnavailableError: uv is missing, or the requirements cannot be installed.

    """
    folder = root / f"{name}-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:8]}"
    python = folder / "bin/python"
    complete = folder / "complete"
    if not complete.exists():
        uv = _uv()
        shutil.rmtree(folder, ignore_errors=True)
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *requirements])
        complete.touch()
    return python


def last_line(text: str) -> str:
    """Return the last line that says something, shortened: what a traceback ends with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise UnavailableError("uv is not installed, which makes its environment")
    return found


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"cannot be installed here: {command[1]} took more than {TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"cannot be installed here: {last_line(error.stderr)}") from error
