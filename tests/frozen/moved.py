"""What was renamed or deleted since `tests/frozen/*.json` were recorded, for `tests/freeze.py`."""

from __future__ import annotations

from tests.freeze import Moved

SUMMARY = r"reports/label_noise/summary\.json"

MOVED = Moved(
    paths={r"data/rebalance/[a-z_]+/ledger\.json": "reports/replay/summary.json"},
    columns={
        SUMMARY: {
            "not_judged": "without_prediction",
            "share_labelled_in_haste": "instance_dependent_noise_share",
            "components_seen_at_a_glance": "weak_classifier_components",
        },
    },
    deleted={
        r"reports/rebalance/[a-z_]+\.json:moved_by_decisions.*": "in reports/replay/summary.json, once for all arms",
        r"data/label_noise/label_scores\.parquet:(self_confidence|normalized_margin|crowdlab)": "read by nothing",
    },
)
