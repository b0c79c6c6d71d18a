from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.stages.label_noise.dataset import patient_context

IMAGES = pd.DataFrame(
    {"age": [70.0, None, 50.0], "sex": ["male", "female", None], "site": ["back", "back", "face"], "diagnosis": "a"}
)


def test_age_keeps_its_curve_and_says_where_it_is_missing() -> None:
    assert np.allclose(patient_context(IMAGES, ["age"]), [[1, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_each_value_of_sex_and_site_and_its_absence_is_a_column() -> None:
    found = patient_context(IMAGES, ["sex", "site"])
    assert found.shape == (3, 6)
    assert np.array_equal(found.sum(axis=1), [2, 2, 2])
    assert len(np.unique(found, axis=0)) == 3


def test_a_source_without_context_and_no_columns_are_no_trouble() -> None:
    nothing = pd.DataFrame({"age": [None] * 3, "sex": [None] * 3, "site": [None] * 3})
    found = patient_context(nothing, ["age", "sex", "site"])
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 1
    assert patient_context(nothing, []).shape == (3, 0)
