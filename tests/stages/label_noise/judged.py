"""Planted labels, judged as the stage does."""

from __future__ import annotations

from sklearn.metrics import average_precision_score

from pipeline.stages.label_noise.params import Probe
from pipeline.stages.label_noise.probabilities import believe
from pipeline.stages.label_noise.suspects import Judgement, judge, rivals
from tests.stages.label_noise.planted import Array, World, params

PARAMS = params()


def judged(planted: World, *, method: str = "noise_matrix", probe: Probe = PARAMS.probe) -> Judgement:
    """Let probes and then a method judge."""
    beliefs = believe(planted.labelled, probe, PARAMS.noise)
    return judge(planted.labelled, beliefs, rivals(planted.labelled), method=method, floor=0.95)


def precision(planted: World, errors: Array) -> float:
    """Return the average precision of error probabilities."""
    return float(average_precision_score(planted.wrong, errors))
