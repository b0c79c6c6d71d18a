"""What the labels of one photograph say of each other: cleanlab's CROWDLAB (Goh et al. 2022).

Where a photograph was scraped several times, each copy is a label of its own. Whoever labels (a batch, and in it the
first, second … copy) is an annotator; CROWDLAB weighs annotators by how far they agree with each other, and the probes
as one more of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.multiannotator import get_label_quality_multiannotator

from pipeline.stages.label_noise.labelled import Labelled

Array = np.ndarray[Any, Any]


def crowdlab(labelled: Labelled, probabilities: Array) -> Array:
    """Score each given label beside those of the photograph's other copies.

    Args:
        labelled: images in scope, removed copies among them.
        probabilities: (n, classes), out of fold, by probes that take labels at their word.

    Returns:
        (n,), quality of the given label, 0 (surely wrong) to 1; NaN where no copy has a label too, and everywhere if no
        photograph has a label that most of its copies carry: then nobody can be weighed.

    """
    found = np.full(len(labelled.given), np.nan)
    several = np.bincount(labelled.photograph)[labelled.photograph] > 1
    rows = np.flatnonzero(several)
    if not len(rows) or len(labelled.classes) == 1:
        return found
    photographs, first, row = np.unique(labelled.photograph[rows], return_index=True, return_inverse=True)
    column = annotators(labelled.image_id[rows], row)
    labels = np.full((len(photographs), column.max() + 1), np.nan)
    labels[row, column] = labelled.given[rows]
    counts = np.stack([(labels == number).sum(axis=1) for number in range(len(labelled.classes))], axis=1)
    second, first_count = np.partition(counts, -2, axis=1)[:, -2:].T
    if not (first_count > second).any():
        return found
    with warnings.catch_warnings(), _seeded():
        warnings.simplefilter("ignore", UserWarning)  # of ties that it breaks at random
        quality = get_label_quality_multiannotator(
            labels, probabilities[rows[first]], verbose=False, return_annotator_stats=False
        )["detailed_label_quality"]
    found[rows] = np.clip(quality.to_numpy()[row, column], 0.0, 1.0)
    return found


def annotators(image_ids: Array, photograph: Array) -> Array:
    """Number whoever labelled each image: the n-th copy of its photograph within its batch, by image_id.

    Args:
        image_ids: `<batch>:<source_id>`, sorted.
        photograph: (n,) numbers.

    """
    copies = pd.DataFrame({"batch": [name.partition(":")[0] for name in image_ids], "photograph": photograph})
    copies["place"] = copies.groupby(["batch", "photograph"]).cumcount()
    return copies.groupby(["batch", "place"]).ngroup().to_numpy()


@contextmanager
def _seeded() -> Iterator[None]:
    """Make what draws from numpy's global generator give the same every time, and leave that as it was."""
    before = np.random.get_state()  # noqa: NPY002 - what cleanlab draws from
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
