"""Losses of a batch, one value an image, for labels that may be shared out over several classes.

With t the target (rows sum to 1), p the softmax of the logits and π the share of each class in train:

    cross_entropy              -Σ_k t_k log p_k
    focal                      -Σ_k t_k (1 - p_k)^2 log p_k                       Lin et al. 2017
    logit_adjusted             cross-entropy of logits + log π                    Menon et al. 2021
    generalized_cross_entropy  Σ_k t_k (1 - p_k^q) / q                            Zhang and Sabuncu 2018
    symmetric_cross_entropy    .1 cross-entropy - Σ_k p_k log t_k, log 0 = -4     Wang et al. 2019

The first is the usual one; the next two are for rare classes; the last two forgive wrong labels. Constants are those of
the papers, which choose them for the noise they plant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.params import LossName

Loss = Callable[[Tensor, Tensor], Tensor]

FOCAL_GAMMA = 2.0
GENERALIZED_Q = 0.7
SYMMETRIC_ALPHA, SYMMETRIC_BETA, SYMMETRIC_LOG_ZERO = 0.1, 1.0, -4.0


def make_loss(name: LossName, prior: Tensor) -> Loss:
    """Return a loss: from logits (n, classes) and targets (n, classes), both float32, to one value a row, (n,).

    Args:
        name: which.
        prior: (classes,) share of each class in train; a class without any is never adjusted to.

    """
    smallest = float(torch.finfo(prior.dtype).tiny)
    by_name: dict[str, Loss] = {
        "cross_entropy": cross_entropy,
        "focal": focal,
        "logit_adjusted": partial(logit_adjusted, log_prior=prior.clamp(min=smallest).log()),
        "generalized_cross_entropy": generalized_cross_entropy,
        "symmetric_cross_entropy": symmetric_cross_entropy,
    }
    return by_name[name]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-Σ t log p."""
    return functional.cross_entropy(logits, target, reduction="none")


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy in which what is predicted well counts little."""
    log_p = functional.log_softmax(logits, 1)
    return -(target * (1 - log_p.exp()) ** FOCAL_GAMMA * log_p).sum(1)


def logit_adjusted(logits: Tensor, target: Tensor, *, log_prior: Tensor) -> Tensor:
    """Cross-entropy of the logits of a balanced world, to which the classes' shares are added back."""
    return cross_entropy(logits + log_prior.to(logits.device), target)


def generalized_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Between cross-entropy (q to 0) and the mean absolute error (q = 1), which no wrong label can pull far."""
    p = functional.softmax(logits, 1)
    # p of 0 has no finite gradient of p^q
    return (target * (1 - p.clamp(min=1e-7) ** GENERALIZED_Q) / GENERALIZED_Q).sum(1)


def symmetric_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, and that of the labels under the prediction."""
    log_target = target.log().clamp(min=SYMMETRIC_LOG_ZERO)
    reverse = -(functional.softmax(logits, 1) * log_target).sum(1)
    return SYMMETRIC_ALPHA * cross_entropy(logits, target) + SYMMETRIC_BETA * reverse
