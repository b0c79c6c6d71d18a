"""What was renamed or deleted since `tests/frozen/*.json` were recorded, for `tests/freeze.py`."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from tests.freeze import Moved

SUMMARY = r"reports/label_noise/summary\.json"


def _named(pattern: str, old: str) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    """Turn the names of layers into what they were: texts in a column of lists."""

    def back(column: pa.ChunkedArray) -> pa.ChunkedArray:
        return pa.chunked_array(
            [[[re.sub(pattern, old, name) for name in row] for row in column.to_pylist()]], column.type
        )

    return back


def _sources(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Name the source `panel` as it was: `part`."""
    texts = [["part" if name == "panel" else name for name in names] for names in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, column.type)])


MOVED = Moved(
    paths={
        r"data/rebalance/[a-z_]+/ledger\.json": "reports/replay/summary.json",
        r"data/embed/(\w+)/embeddings.parquet": r"data/embed/clip/\1/embeddings.parquet",
        r"data/embed/(\w+)/levels.parquet": r"data/embed/clip/\1/layers.parquet",
        r"data/opinions/(\w+)/opinions.parquet": r"data/embed/lite0/\1/layers.parquet",
    },
    columns={
        r"data/dedup/duplicates\.parquet": {"deformation": "residual", "shared_clutter": "shared_occlusions"},
        r"reports/dedup/summary\.json": {r"candidates_by_source\.part": "candidates_by_source.panel"},
        SUMMARY: {
            "not_judged": "without_prediction",
            "share_labelled_in_haste": "instance_dependent_noise_share",
            "components_seen_at_a_glance": "weak_classifier_components",
        },
        r"data/(embed/\w+/levels|opinions/\w+/opinions).parquet": {"networks": "layers", "description": "features"},
    },
    values={
        r"data/dedup/duplicates\.parquet:proposed_by": _sources,
        r"data/embed/\w+/levels.parquet:networks": _named("/layer (?=[0-9]+$)", "/block "),
        r"data/opinions/\w+/opinions.parquet:networks": _named("/fp32/([0-9]+)/layer 3$", r"/\1"),
    },
    deleted={
        r"data/fingerprint/.*/fingerprints\.parquet:dhash": "nothing read it",
        r"data/dedup/duplicates\.parquet:distance_bits": "nothing read it",
        r"reports/rebalance/[a-z_]+\.json:moved_by_decisions.*": "in reports/replay/summary.json, once for all arms",
        r"data/label_noise/label_scores\.parquet:(self_confidence|normalized_margin|crowdlab)": "read by nothing",
        r"data/cross_fit/.*": "the stage is gone; the table was empty in every profile",
        r"reports/results.json:stages\..*": "seconds and memory, of every run its own",
    },
)
