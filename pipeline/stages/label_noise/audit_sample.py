"""The audit sample: a stratified random sample that says how many labels are wrong, with an interval.

    errors = Σ_h N_h k_h / n_h        over strata h of N_h images, of which n_h are looked at and k_h are wrong

No score can say how many errors there are, its own estimate least of all; a random sample can. A plain sample
spends most of its looks on labels that nobody doubts. So images are cut into strata by error probability, at equal sums
of the standard deviation that the probability implies (Dalenius and Hodges 1959), and each gets as many looks: close to
Neyman's allocation. The strata only say where to look: if the probabilities are wrong, the interval is wider,
not wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.params import Audit

LEAST_SPREAD = 0.1  # of a label that the classifiers are sure of: they may be wrong, so it is looked at too
DRAWS = 20_000
STRATA = 3  # at most; more make the interval wider where errors are rare (`bench.label_noise counting`)
TINY = 1e-9  # stands for 0 in a Beta, which NumPy refuses


@dataclass(frozen=True)
class Sample:
    """A random sample of images.

    images: (m,) positions, in random order, so that any beginning of it is a sample too.
    stratum: (m,) numbers.
    sizes: (strata,) how many images each holds, in the sample or not.
    """

    images: NDArray[np.intp]
    stratum: NDArray[np.intp]
    sizes: NDArray[np.intp]


def sample_labels(scores: pd.DataFrame, dataset: Dataset, params: Audit) -> pd.DataFrame:
    """Make the table AuditSample, of all splits; a removed copy's label is nobody's concern."""
    kept = np.flatnonzero(~dataset.removed)
    rng = np.random.default_rng(params.seed)
    drawn = draw_sample(scores["error_probability"].to_numpy()[kept], count=params.images, strata=STRATA, rng=rng)
    return pd.DataFrame(
        {
            "image_id": dataset.image_id[kept[drawn.images]],
            "place": np.arange(1, len(drawn.images) + 1),
            "stratum": drawn.stratum,
            "stratum_images": drawn.sizes[drawn.stratum],
        }
    )


def draw_sample(error_probability: NDArray[np.float64], *, count: int, strata: int, rng: np.random.Generator) -> Sample:
    """Draw a stratified sample.

    Args:
        error_probability: (n,).
        count: images to look at; all if there are no more.
        strata: at most.
        rng: of the draw.

    """
    stratum = _strata(error_probability, strata)
    sizes = np.bincount(stratum)
    looks = _allocate(sizes, min(count, len(error_probability)))
    chosen = np.concatenate(
        [rng.choice(np.flatnonzero(stratum == i), number, replace=False) for i, number in enumerate(looks)]
    )
    order = rng.permutation(len(chosen))
    return Sample(chosen[order], stratum[chosen[order]], sizes)


def count_errors(
    stratum: NDArray[np.intp],
    wrong: NDArray[np.bool_],
    *,
    sizes: NDArray[np.intp],
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Say how many labels are wrong, from what an audit found.

    The ends are exact for one stratum: quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k) (Clopper, Pearson 1934).
    For the sum over strata they are quantiles of the sum of those distributions, simulated: a little wider than they
    need be, where a strict bound for each stratum would be far too wide.

    Args:
        stratum: (m,) of the images looked at.
        wrong: (m,) whether the label is wrong.
        sizes: (strata,) images in each.
        confidence: of the interval.
        rng: of the simulation.

    Returns:
        lower end, estimate and upper end, in images.

    """
    looked = np.bincount(stratum, minlength=len(sizes))
    known = np.bincount(stratum, wrong, minlength=len(sizes)).astype(np.float64)
    fewest = _total(rng, known, looked - known + 1, known=known, unseen=sizes - looked)
    most = _total(rng, known + 1, looked - known, known=known, unseen=sizes - looked)
    estimate = float((sizes * known / np.maximum(looked, 1)).sum())
    tail = (1 - confidence) / 2
    return float(np.quantile(fewest, tail)), estimate, float(np.quantile(most, 1 - tail))


def _total(
    rng: np.random.Generator,
    wrong: NDArray[np.float64],
    right: NDArray[np.float64],
    *,
    known: NDArray[np.float64],
    unseen: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Simulate how many errors there are, if a stratum's share is Beta(wrong, right), surely 0 or 1 where one is 0."""
    share = rng.beta(np.maximum(wrong, TINY), np.maximum(right, TINY), (DRAWS, len(wrong)))
    totals: NDArray[np.float64] = (known + rng.binomial(unseen, share)).sum(axis=1)
    return totals


def _strata(error_probability: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Number strata from the least to the most doubtful; equal probabilities share one."""
    order = np.argsort(error_probability, kind="stable")
    ordered = np.clip(error_probability[order], 0, 1)
    spread = np.cumsum(np.maximum(np.sqrt(ordered * (1 - ordered)), LEAST_SPREAD))
    cut = np.minimum((spread / spread[-1] * count).astype(int), count - 1)
    first = np.searchsorted(ordered, ordered, side="left")  # of the run of equal probabilities
    stratum = np.empty(len(order), dtype=np.int64)
    stratum[order] = np.unique(cut[first], return_inverse=True)[1]
    return stratum


def _allocate(sizes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Share looks equally among strata; what a small one cannot take, the others do."""
    looks = np.zeros(len(sizes), dtype=np.int64)
    while (left := count - int(looks.sum())) > 0:
        open_ = np.flatnonzero(looks < sizes)
        portion = max(left // len(open_), 1)
        for i in open_[: left if left < len(open_) else None]:
            looks[i] += min(portion, sizes[i] - looks[i], count - int(looks.sum()))
    return looks
