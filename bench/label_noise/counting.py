"""Whether the audit's interval holds the true number of errors, and how wide it is beside the exact binomial one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta

from pipeline.label_noise.audit import count_errors, draw_sample

Array = np.ndarray[Any, Any]

CONFIDENCE = 0.95


def count(error_probability: Array, wrong: Array, *, images: int, strata: int, seed: int) -> dict[str, float]:
    """Audit planted labels once, by strata and by a plain sample.

    Args:
        error_probability: (n,).
        wrong: (n,) the planted truth, which the audit's people are taken to see.
        images: to look at.
        strata: of the audit.
        seed: of the samples.

    """
    rng = np.random.default_rng(seed)
    drawn = draw_sample(error_probability, count=images, strata=strata, rng=rng)
    found = wrong[drawn.images]
    low, estimate, high = count_errors(drawn.stratum, found, sizes=drawn.sizes, confidence=CONFIDENCE, rng=rng)
    plain = rng.choice(len(wrong), images, replace=False)
    least, most = binomial_interval(int(wrong[plain].sum()), images)
    return {
        "covers": float(low <= wrong.sum() <= high),
        "width": high - low,
        "miss": estimate - float(wrong.sum()),
        "binomial_covers": float(least * len(wrong) <= wrong.sum() <= most * len(wrong)),
        "binomial_width": (most - least) * len(wrong),
    }


def binomial_interval(found: int, looked: int) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934)."""
    tail = (1 - CONFIDENCE) / 2
    low = beta.ppf(tail, found, looked - found + 1) if found else 0.0
    high = beta.ppf(1 - tail, found + 1, looked - found) if found < looked else 1.0
    return float(low), float(high)
