"""How well the ensemble does for whom, and on which images: by source, sex, age, site, skin tone, and what is odd.

A mean over all hides whom a model fails (Daneshjou et al., Disparities in dermatology AI performance on a diverse,
curated clinical image set, 2022). Diagnoses differ between subgroups, so balanced accuracy stands beside accuracy; and
a subgroup that holds too few groups is named, without a figure that a few lesions would decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stages.evaluate.bootstrap import Estimate
from pipeline.stages.evaluate.metrics import hits
from pipeline.stages.evaluate.scored import Resampled
from pipeline.stages.fingerprint.tables import FLAGS

AGES = (0, 30, 45, 60, 75, 200)  # years: from each to below the next
AS_GIVEN = ("sex", "site", "skin_tone")  # columns of Images
UNKNOWN = "not given"
LEAST_GROUPS = 20  # of which figures are told


class Subgroup(NamedTuple):
    """Images that share a value of an attribute; figures are None where they are of too few groups."""

    attribute: str
    value: str
    images: int
    groups: int
    figures: dict[str, Estimate] | None


def attributes(image_ids: pd.Series[str], images: pd.DataFrame, fingerprints: pd.DataFrame) -> pd.DataFrame:
    """Say to which subgroup images belong, an attribute a column, as text.

    Args:
        image_ids: of the images, whose order the rows have.
        images: the table Images.
        fingerprints: the table Fingerprints, whose every flag is an attribute of its own.

    """
    described = images.set_index("image_id").loc[list(image_ids)].reset_index()
    flags = fingerprints.set_index("image_id")["flags"].loc[list(image_ids)]
    ages = [f"{low} to {high - 1}" for low, high in pairwise(AGES)]
    ages[-1] = f"{AGES[-2]} and over"
    banded = pd.cut(described["age"].astype(np.float64), AGES, labels=ages, right=False)
    columns = {
        "batch": described["image_id"].str.split(":", n=1).str[0],
        "age": banded.astype(object),
        **{name: described[name] for name in AS_GIVEN},
        **{flag: pd.Series(["yes" if flag in raised else "no" for raised in flags]) for flag in FLAGS},
    }
    return pd.DataFrame({name: values.where(values.notna(), UNKNOWN) for name, values in columns.items()})


def score_subgroups(
    probabilities: NDArray[np.float64], sample: Resampled, values: pd.DataFrame, *, least_groups: int = LEAST_GROUPS
) -> Iterator[Subgroup]:
    """Score every subgroup of a set; an attribute that has one value there says nothing and is left out.

    Args:
        probabilities: of all images scored, (images, classes).
        sample: the set.
        values: from `attributes`, of all images scored.
        least_groups: of a subgroup that is scored.

    """
    of_set = values.iloc[sample.truth.rows]
    for name in values.columns:
        distinct = sorted(of_set[name].unique(), key=lambda value: (value == UNKNOWN, value))
        for value in distinct if len(distinct) > 1 else ():
            mask = (of_set[name] == value).to_numpy()
            groups = len(np.unique(sample.truth.group_of[mask]))
            figures = sample.estimate(hits, probabilities, mask) if groups >= least_groups else None
            yield Subgroup(str(name), value, int(mask.sum()), groups, figures)
