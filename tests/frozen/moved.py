"""What was renamed or deleted since `tests/frozen/*.json` were recorded, for `tests/freeze.py`."""

from __future__ import annotations

from tests.freeze import Moved

MOVED = Moved(
    paths={r"data/rebalance/[a-z_]+/ledger\.json": "reports/replay/summary.json"},
    deleted={
        r"reports/rebalance/[a-z_]+\.json:moved_by_decisions.*": "in reports/replay/summary.json, once for all arms",
    },
)
