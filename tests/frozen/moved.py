"""What was renamed or deleted since `tests/frozen/*.json` were recorded, for `tests/freeze.py`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tests.freeze import Moved


def sources_before(column: Any) -> Any:
    """Name the source `panel` as it was: `part`."""
    texts = [["part" if name == "panel" else name for name in names] for names in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, column.type)])


MOVED = Moved(
    columns={
        r"data/dedup/duplicates\.parquet": {"deformation": "residual", "shared_clutter": "shared_occlusions"},
        r"reports/dedup/summary\.json": {r"candidates_by_source\.part": "candidates_by_source.panel"},
    },
    deleted={
        r"data/fingerprint/.*/fingerprints\.parquet:dhash": "nothing read it",
        r"data/dedup/duplicates\.parquet:distance_bits": "nothing read it",
    },
    values={r"data/dedup/duplicates\.parquet:proposed_by": sources_before},
)
