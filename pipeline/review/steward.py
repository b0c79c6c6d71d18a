"""Who decides, and when: the two things about a decision that only the command line knows."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pipeline.core.errors import UserError


def steward_name(root: Path, named: str | None) -> str:
    """Return the name given on the command line, or git's user name.

    Raises:
        UserError: there is neither.

    """
    if named:
        return named
    asked = subprocess.run(["git", "config", "user.name"], cwd=root, capture_output=True, text=True, check=False)
    name = asked.stdout.strip()
    if not name:
        raise UserError("nobody is named as the steward: say --steward NAME, or set git's user.name")
    return name


def now() -> str:
    """Return the time, as decisions record it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
