from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.stages.evaluate import summary
from pipeline.stages.evaluate.scored import Resampled, Truth, resample
from pipeline.stages.evaluate.subgroups import UNKNOWN, Subgroup, attributes, score_subgroups

Array = np.ndarray[Any, Any]


def described(flags: list[list[str]] | None = None, **columns: list[Any]) -> pd.DataFrame:
    """Subgroups of images with these columns of Images and flags of Fingerprints."""
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({"image_id": [f"demo:{i}" for i in range(rows)], **columns})
    images = frame.reindex(columns=["image_id", "age", "sex", "site", "skin_tone"])
    fingerprints = pd.DataFrame({"image_id": frame["image_id"], "flags": flags or [[]] * rows})
    return attributes(frame["image_id"], images, fingerprints)


def scored(actual: Array, groups: Array) -> Resampled:
    return resample({"test": Truth(np.arange(len(actual)), actual, groups, "")}, resamples=200, seed=0)["test"]


def test_ages_fall_into_bands_and_what_is_missing_says_so() -> None:
    values = described(age=[0.0, 29.5, 30.0, 75.0, 101.0, np.nan], sex=["male", None] * 3)
    assert values["age"].tolist() == ["0 to 29", "0 to 29", "30 to 44", "75 and over", "75 and over", UNKNOWN]
    assert values["sex"].tolist() == ["male", UNKNOWN] * 3
    assert set(values["batch"]) == {"demo"}


def test_a_subgroup_has_the_figures_of_its_images() -> None:
    """All men are right; of the women's nevi all, of their other lesions none."""
    sex, actual = np.repeat(["female", "male"], 40), np.tile([0, 1], 40)
    probabilities = np.tile([0.9, 0.1], (80, 1))
    probabilities[40:] = np.eye(2)[actual[40:]] * 0.8 + 0.1
    found = list(score_subgroups(probabilities, scored(actual, np.arange(80)), described(sex=list(sex))))
    assert [(of.attribute, of.value, of.images, of.groups) for of in found] == [
        ("sex", "female", 40, 40),
        ("sex", "male", 40, 40),
    ]
    women, men = (of.figures for of in found)
    assert women is not None
    assert men is not None
    assert (women["accuracy"].value, men["accuracy"].value) == (0.5, 1)
    assert women["balanced_accuracy"].value == 0.5
    low, high = women["accuracy"].interval(0.95)
    assert 0.3 < low < 0.5 < high < 0.7
    assert men["accuracy"].interval(0.95) == (1, 1)


def test_values_follow_the_order_of_the_images_asked_for() -> None:
    images = pd.DataFrame({"image_id": ["b:1", "a:1", "a:2"], "age": 40.0, "site": None, "skin_tone": None})
    images["sex"] = ["male", "female", "female"]
    fingerprints = pd.DataFrame({"image_id": ["a:2", "b:1", "a:1"], "flags": [["blurred"], ["dark", "blurred"], []]})
    values = attributes(pd.Series(["a:2", "b:1"]), images, fingerprints)
    assert values["batch"].tolist() == ["a", "b"]
    assert values["sex"].tolist() == ["female", "male"]
    assert values["blurred"].tolist() == ["yes", "yes"]
    assert values["dark"].tolist() == ["no", "yes"]


def test_an_attribute_of_one_value_says_nothing() -> None:
    values = described(sex=["female"] * 50, site=["back"] * 50)
    assert list(score_subgroups(np.full((50, 2), 0.5), scored(np.zeros(50, int), np.arange(50)), values)) == []


def test_a_subgroup_of_few_groups_has_no_figures_however_many_its_images() -> None:
    site = ["back"] * 40 + ["hand"] * 40
    groups = np.append(np.arange(40), np.repeat(np.arange(40, 44), 10))
    sample = scored(np.tile([0, 1], 40), groups)
    found = list(score_subgroups(np.full((80, 2), 0.5), sample, described(site=site), least_groups=5))
    assert [(of.value, of.images, of.groups, of.figures is None) for of in found] == [
        ("back", 40, 40, False),
        ("hand", 40, 4, True),
    ]
    assert summary.nest_subgroups(found, 0.9)["site"]["hand"] == {"images": 40, "groups": 4}


def test_subgroups_are_of_the_set_alone() -> None:
    truth = Truth(np.arange(30, 60), np.zeros(30, int), np.arange(30), "")
    sample = resample({"test": truth}, resamples=20, seed=0)["test"]
    values = described(sex=["male"] * 45 + ["female"] * 15)
    found: list[Subgroup] = list(score_subgroups(np.full((60, 2), 0.5), sample, values, least_groups=1))
    assert [(of.value, of.images) for of in found] == [("female", 15), ("male", 15)]


def test_unknown_stands_last() -> None:
    values = described(site=["scalp", None, "back"] * 10)
    sample = scored(np.zeros(30, int), np.arange(30))
    found = score_subgroups(np.full((30, 2), 0.5), sample, values)
    assert [of.value for of in found] == ["back", "scalp", UNKNOWN]
