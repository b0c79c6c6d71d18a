"""What curation gains: each arm less the raw one, on the same images and the same resamples of their groups.

The comparison only ever reads predictions. The interval tells how far the figure depends on which patients and lesions
happened to be in the test set; what depends on the training's own randomness shows in the spread over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.stages.evaluate.bootstrap import Estimate

BASE = "raw"
Scores = Mapping[str, Estimate]  # by metric


def gains(by_arm: Mapping[str, Scores]) -> dict[str, dict[str, Estimate]]:
    """Subtract the raw arm from every other one.

    Returns:
        by `<arm>_over_raw` and metric; nothing where there is no raw arm. Of calibration_error and log_loss less is
        better.

    """
    base = by_arm.get(BASE)
    if base is None:
        return {}
    return {
        f"{arm}_over_{BASE}": {metric: scores[metric] - base[metric] for metric in scores}
        for arm, scores in by_arm.items()
        if arm != BASE
    }
