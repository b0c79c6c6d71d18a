from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.stages.label_noise.cross_validation import Predictions, cross_val_predict
from pipeline.stages.label_noise.error_count import error_interval
from pipeline.stages.label_noise.scores import NO_COPY, score_labels
from tests.stages.label_noise.planted import COMPONENTS, NOISE, World, mislabel, params, world


def judge(made: World) -> tuple[Predictions, NDArray[np.float64]]:
    predictions = cross_val_predict(made.dataset, params(), noise=NOISE, components=COMPONENTS)
    nobody = np.full(len(made.dataset.given), NO_COPY)
    scored = score_labels(made.dataset, predictions, nobody, method="noise_matrix", conflict_error_probability=0.95)
    return predictions, scored.error_probability


@pytest.mark.parametrize("kind", ["uniform", "confused"])
def test_the_interval_holds_the_planted_errors_in_most_sets(kind: str) -> None:
    held = []
    for seed in range(8):
        made = mislabel(world(seed, lesions=150), kind, rate=(0.05, 0.1, 0.2, 0.3)[seed % 4], seed=seed)
        bounds = error_interval(made.dataset, *judge(made))
        assert bounds is not None
        held.append(bounds[0] <= made.wrong.sum() <= bounds[1])
    assert sum(held) >= 6  # 7.2 expected; 5 or fewer come up once in 26 draws


def test_the_interval_holds_the_sum_and_narrows_with_the_number_of_labels() -> None:
    widths = []
    for lesions in (60, 240, 960):
        made = mislabel(world(5, lesions=lesions), "uniform", rate=0.1, seed=5)
        predictions, errors = judge(made)
        bounds = error_interval(made.dataset, predictions, errors)
        assert bounds is not None
        low, high = bounds
        assert 0 <= low < errors.sum() < high <= len(errors)
        widths.append((high - low) / len(errors))
    assert widths[0] > widths[1] > widths[2]


def test_errors_of_one_lesion_come_together() -> None:
    made = mislabel(world(3, lesions=150), "uniform", rate=0.1, seed=3)
    predictions, errors = judge(made)
    each = replace(made.dataset, lesion=np.arange(len(errors)))
    joint, apart = (error_interval(dataset, predictions, errors) for dataset in (made.dataset, each))
    assert joint is not None
    assert apart is not None
    assert joint[1] - joint[0] > apart[1] - apart[0]


def test_nothing_is_bounded_where_nothing_was_learnt() -> None:
    made = world(1, lesions=40)
    predictions, errors = judge(made)
    unknown = replace(predictions, has_prediction=np.zeros(len(errors), bool))
    assert error_interval(made.dataset, unknown, errors) is None
