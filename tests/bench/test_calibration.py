from __future__ import annotations

import numpy as np
import pandas as pd

from bench.duplicates.calibration import THRESHOLDS, calibrate, table


def pair(relation: str, *, correlation: float, residual: float = 1.0, inliers: int = 30) -> dict[str, object]:
    return {
        "relation": relation,
        "overlap": 1.0,
        "correlation": correlation,
        "residual": residual,
        "bending": 0.0,
        "shared_occlusions": float("nan"),
        "inliers": inliers,
    }


PAIRS = pd.DataFrame(
    [
        pair("copy", correlation=0.95),
        pair("copy", correlation=0.75),
        pair("same_lesion", correlation=0.65),
        pair("same_lesion", correlation=0.95, residual=7.0),
        pair("same_lesion", correlation=0.25, inliers=0),  # aligned directly: it has a floor of its own
        pair("weak", correlation=0.25),
        pair("none", correlation=float("nan")),
    ]
)
RIGHT = np.array([True, True, True, False, True, False, False])


def listed(param: str) -> dict[float, tuple[int, int]]:
    found = calibrate(PAIRS, RIGHT, ~RIGHT)[param]
    return {step["value"]: (step["right"], step["wrong"]) for step in found}


def test_right_and_wrong_pairs_are_counted_at_every_value() -> None:
    assert listed("copy_min_correlation") == {0.5: (3, 0), 0.6: (3, 0), 0.7: (2, 0), 0.8: (1, 0), 0.9: (1, 0)}
    assert listed("copy_max_residual")[8.0] == (2, 1)
    assert listed("same_lesion_min_correlation") == {
        0.2: (4, 2),
        0.3: (4, 1),
        0.35: (4, 1),
        0.4: (4, 1),
        0.5: (4, 1),
    }


def test_the_profiles_own_values_are_among_those_tried_and_shown_in_bold() -> None:
    report = calibrate(PAIRS, RIGHT, ~RIGHT)
    assert set(report) == {threshold.param for threshold in THRESHOLDS}
    for steps in report.values():
        assert sum(step["own"] for step in steps) == 1
    assert "**0.7: 2 / 0**" in table("Calibration", report)


def test_the_interval_is_of_the_wrong_pairs() -> None:
    step = calibrate(PAIRS, RIGHT, ~RIGHT)["copy_max_residual"][-1]
    low, high = step["wrong_rate_interval"]
    assert low < 1 / 3 < high
