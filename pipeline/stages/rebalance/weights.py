"""Weights of the training loss, so that a rare diagnosis counts as much as a common one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.stages.rebalance.params import Weights


def class_weights(sizes: pd.Series[float], weights: Weights) -> pd.Series[float]:
    """Weigh each class; the largest weight is at most `max_ratio` times the smallest.

    `inverse`: 1 / n. `effective_number`: (1 - beta) / (1 - beta^n), Cui et al., CVPR 2019, equation 4.

    Args:
        sizes: images of each class in train, a down-weighted image counting as its factor; all positive.
        weights: the scheme.

    """
    if weights.scheme == "inverse":
        raw = 1.0 / sizes
    elif weights.scheme == "effective_number":
        raw = (1.0 - weights.beta) / -np.expm1(sizes * np.log(weights.beta))
    else:
        raw = pd.Series(1.0, index=sizes.index)
    return raw.clip(upper=raw.min() * weights.max_ratio)


def image_weights(diagnoses: pd.Series[str], factors: pd.Series[float], weights: Weights) -> pd.Series[float]:
    """Weigh each train image: its class's weight times its own factor, scaled to mean 1.

    Args:
        diagnoses: of each train image.
        factors: of each train image, 1 unless it is down-weighted; positive.
        weights: the scheme.

    """
    by_class = class_weights(factors.groupby(diagnoses).sum(), weights)
    raw = diagnoses.map(by_class).astype(float) * factors
    return raw / raw.mean()
