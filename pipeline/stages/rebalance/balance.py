"""Rare classes: what an image counts in the loss, and how often it is drawn, by the size of its class.

With n_k the images of class k, one that is shared out or down-weighted counting in parts:

    class_weights      weight 1 / n_k
    effective_number   weight (1 - β) / (1 - β^n_k)        Cui et al., CVPR 2019, equation 4
    oversample         draws n_max / n_k
    undersample        draws n_min / n_k
    square_root        draws n_k^(-1/2), scaled so that an epoch is as long as train
    none               weight 1, draws 1

The largest weight, and the largest number of draws, is at most `max_ratio` times the smallest. An image of several
classes has their mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.stages.rebalance.params import Balance

Floats = NDArray[np.float64]
SAMPLERS = ("oversample", "undersample", "square_root")


def balance_classes(target: Floats, factors: Floats, balance: Balance) -> tuple[Floats, Floats]:
    """Weigh train images, and say how often each is drawn in an epoch.

    Args:
        target: (images, classes) how far each image counts as each class; rows sum to 1.
        factors: (images,) 1 unless an image is down-weighted; positive.
        balance: the policy.

    Returns:
        weights (images,), of mean 1 over an epoch; draws (images,).

    """
    sizes = factors @ target
    there = sizes > 0
    by_class = np.ones(len(sizes))
    by_class[there] = _bounded(_rare_first(sizes[there], balance), balance.max_ratio)
    of_image = target @ by_class
    if balance.policy not in SAMPLERS:
        weights = of_image * factors
        return weights / weights.mean(), np.ones(len(factors))
    scale: float = {
        "oversample": 1 / by_class[there].min(),
        "undersample": 1 / by_class[there].max(),
        "square_root": len(factors) / of_image.sum(),
    }[balance.policy]
    draws = of_image * scale
    weights = factors * draws.sum() / (factors * draws).sum()
    return weights, draws


def _rare_first(sizes: Floats, balance: Balance) -> Floats:
    """Return what each class counts, before it is bounded."""
    if balance.policy == "none":
        return np.ones(len(sizes))
    if balance.policy == "effective_number":
        effective: Floats = (1 - balance.beta) / -np.expm1(sizes * np.log(balance.beta))
        return effective
    power = -0.5 if balance.policy == "square_root" else -1.0
    counts: Floats = sizes**power
    return counts


def _bounded(values: Floats, max_ratio: float) -> Floats:
    bounded: Floats = np.minimum(values, values.min() * max_ratio)
    return bounded
