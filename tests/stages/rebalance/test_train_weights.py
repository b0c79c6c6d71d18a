from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.stages.rebalance.arms import select, share_out
from pipeline.stages.rebalance.params import Balance

INVERSE = Balance.model_validate({"policy": "class_weights", "beta": 0.99, "max_ratio": 1e9})


def test_classes_weigh_alike_by_their_train_images_alone() -> None:
    parts = {("train", "nevus"): 30, ("train", "melanoma"): 10, ("validation", "melanoma"): 90, ("test", "nevus"): 50}
    rows = [part for part, count in parts.items() for _ in range(count)]
    frame = pd.DataFrame(rows, columns=["split", "diagnosis"])
    frame = frame.assign(image_id=frame.index.astype(str), group_id="", given=frame["diagnosis"], reason="")
    frame = frame.assign(factor=1.0, soft=False, error_probability=0.0)
    diagnoses = ["melanoma", "nevus"]
    selection, target = select(frame, INVERSE, posterior=pd.DataFrame(columns=diagnoses), diagnoses=diagnoses)
    train = selection.query("split == 'train'")
    assert (target.argmax(1) == (selection["diagnosis"] == "nevus")).all()
    by_class = train.groupby("diagnosis")["weight"].sum()
    assert by_class["nevus"] == pytest.approx(by_class["melanoma"])


def test_a_label_is_shared_out_by_the_posterior_as_far_as_it_is_wrong() -> None:
    posterior = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [1.0, 0.0, 0.0]])
    given = np.array([[True, False, False]] * 3)
    error = np.array([0.8, 0.95, 0.95])  # the second lost against a copy; the third has no alternative
    found = share_out(posterior, given=given, error=error)
    assert found[0] == pytest.approx(posterior[0])
    assert found[1] == pytest.approx([0.05, 0.95 * 0.75, 0.95 * 0.25])
    assert found[2] == pytest.approx([1, 0, 0])
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
