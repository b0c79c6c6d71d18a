"""What is known of the patient, as numbers that a probe can take: age, sex and site.

Never how the diagnosis was confirmed: that gives it away. No statistic of the data enters, so adding images changes no
other image's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]

MIDDLE_AGE, AGE_SCALE = 50.0, 20.0  # years
KNOWN = ("age", "sex", "site")


def patient_context(images: pd.DataFrame, columns: Sequence[str]) -> Array:
    """Encode columns of the table Images.

    Age becomes itself, its square and whether it is missing; of sex and site each value becomes a column of 0 and 1.

    Args:
        images: with the columns named.
        columns: some of `KNOWN`.

    Returns:
        (n, numbers) float32; no numbers without columns.

    """
    parts = [_age(images[name]) if name == "age" else _kinds(images[name]) for name in columns]
    return np.hstack([np.zeros((len(images), 0), np.float32), *parts])


def _age(years: pd.Series[Any]) -> Array:
    values = pd.to_numeric(years).to_numpy(dtype=np.float32)
    missing = np.isnan(values)
    scaled = np.where(missing, 0.0, (values - MIDDLE_AGE) / AGE_SCALE)
    return np.stack([scaled, np.square(scaled), missing], axis=1).astype(np.float32)


def _kinds(values: pd.Series[Any]) -> Array:
    return pd.get_dummies(values, dtype=np.float32, dummy_na=True).to_numpy()
