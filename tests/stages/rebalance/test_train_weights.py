from __future__ import annotations

import pandas as pd
import pytest

from pipeline.stages.rebalance.arms import select
from pipeline.stages.rebalance.params import Balance

INVERSE = Balance.model_validate({"policy": "class_weights", "beta": 0.99, "max_ratio": 1e9})


def test_classes_weigh_alike_by_their_train_images_alone() -> None:
    parts = {("train", "nevus"): 30, ("train", "melanoma"): 10, ("validation", "melanoma"): 90, ("test", "nevus"): 50}
    rows = [part for part, count in parts.items() for _ in range(count)]
    frame = pd.DataFrame(rows, columns=["split", "diagnosis"])
    frame = frame.assign(image_id=frame.index.astype(str), group_id="", given=frame["diagnosis"], reason="")
    frame = frame.assign(factor=1.0, soft=False)
    diagnoses = ["melanoma", "nevus"]
    selection, target = select(frame, INVERSE, posterior=pd.DataFrame(columns=diagnoses), diagnoses=diagnoses)
    train = selection.query("split == 'train'")
    assert (target.argmax(1) == (selection["diagnosis"] == "nevus")).all()
    by_class = train.groupby("diagnosis")["weight"].sum()
    assert by_class["nevus"] == pytest.approx(by_class["melanoma"])
