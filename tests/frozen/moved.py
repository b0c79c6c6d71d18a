"""What was renamed or deleted since `tests/frozen/*.json` were recorded, for `tests/freeze.py`."""

from __future__ import annotations

from tests.freeze import Moved

MOVED = Moved()
