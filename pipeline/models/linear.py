"""Softmax regression on features that are there already: a network's frozen ones, or what `embed` wrote.

    p(k | x) = softmax(W z + b)_k        z = (x - mean) / std, feature by feature, of train
    loss(W, b) = Σ_i w_i L(W z_i + b, t_i) / Σ_i w_i  +  λ / 2 · |W|²

L is the member's loss, t_i how far image i counts as each class, w_i its weight times how often it is drawn. λ falls
along a path, where each fit starts from the last one's end (Friedman, Hastie and Tibshirani 2010), and the λ is kept
under which validation's log loss, averaged over classes, is least. The sum over all images is minimised by scipy's
L-BFGS, so there is no batch, learning rate or number of epochs to choose, and nothing random.

On HAM10000's lesions a head that AdamW stops early is far from this optimum (decision 24).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.progress import track
from pipeline.models.devices import one_thread
from pipeline.models.fit import Epoch, Examples, balanced_scores, best_epoch
from pipeline.models.losses import Loss
from pipeline.models.weights import Card, save_weights, tensors_of

STRENGTHS = tuple(10 ** (2 - half / 2) for half in range(13))  # λ, from 100 to .0001
PATIENCE = 2  # strengths without a better one, after which weaker ones are not tried
# The result hardly depends on these: they say when the optimiser may stop and how it is scaled.
GRADIENT_TOLERANCE = 3e-4
MAX_ITERATIONS = 50
CURVATURE = 0.1  # of the loss, a typical p (1 - p)
LEAST_VARIANCE = 1e-12  # of a feature's or a direction's; all images may be one
NEGLIGIBLE = 1e-6  # of the largest variance: a direction with less says nothing


@dataclass(frozen=True)
class Strength(Epoch):
    """A line of the history, whose `epoch` counts the path's strengths.

    penalty: λ.
    """

    penalty: float


@dataclass(frozen=True)
class Coordinates:
    """Principal coordinates z B of standardised features, no more than there are images.

    |W|² is the same in them, and the loss's curvature nearly diagonal, so that a few iterations find its minimum.

    mean, std: (features,) of train.
    basis: B, (features, coordinates), its columns orthonormal.
    """

    mean: Tensor
    std: Tensor
    basis: Tensor

    @classmethod
    def fit(cls, features: Tensor) -> Coordinates:
        """Fit to features (images, features)."""
        std, mean = torch.std_mean(features, 0, correction=0)
        std = std.clamp(min=LEAST_VARIANCE**0.5)  # a feature that never varies says nothing
        scaled = (features - mean) / std
        if len(scaled) >= scaled.shape[1]:
            variance, directions = torch.linalg.eigh(scaled.T @ scaled)
            return cls(mean, std, directions[:, _counts(variance)])
        variance, images = torch.linalg.eigh(scaled @ scaled.T)
        kept = _counts(variance)
        return cls(mean, std, scaled.T @ (images[:, kept] / variance[kept].clamp(min=LEAST_VARIANCE).sqrt()))

    def of(self, features: Tensor) -> Tensor:
        """Map features (n, features) to coordinates (n, coordinates)."""
        return (features - self.mean) / self.std @ self.basis

    def load(self, head: nn.Linear, weights: Tensor) -> None:
        """Set a head on features as they are to what weights (classes, coordinates + 1) say of coordinates."""
        with torch.no_grad():
            head.weight.copy_(weights[:, :-1] @ self.basis.T / self.std)
            head.bias.copy_(weights[:, -1] - head.weight @ self.mean)


@one_thread()
def fit_path(
    head: nn.Linear,
    features: Mapping[str, Tensor],
    train: Examples,
    validation: NDArray[np.int64],
    loss: Loss,
) -> list[Strength]:
    """Train a head in place; it ends with the weights of the best strength.

    Args:
        head: on the features' device.
        features: of train and validation, float32 of shape (images, features).
        train: what train's images count as, and how much.
        validation: class of each of its images, (n,).
        loss: of a batch, from `losses.make_loss`.

    """
    to = Coordinates.fit(features["train"])
    learnt, held = (to.of(features[split]) for split in ("train", "validation"))
    target, counts = train.target.to(learnt.device), (train.weight * train.draws).to(learnt.device)
    counts = counts / counts.sum()
    spread = learnt.square().mean(0)
    weights = torch.zeros(head.out_features, learnt.shape[1] + 1, device=learnt.device)
    history: list[Strength] = []
    for penalty in track(STRENGTHS, "train", unit="strengths"):

        def penalised(found: Tensor, penalty: float = penalty) -> tuple[Tensor, Tensor]:
            losses = loss(_logits(found, learnt), target)
            return (counts * losses).sum(), 0.5 * penalty * found[:, :-1].square().sum()

        curvature = torch.cat([CURVATURE * spread + penalty, spread.new_full((1,), CURVATURE)])
        weights, mean_loss = _minimise(penalised, weights, curvature.rsqrt())
        probabilities = functional.softmax(_logits(weights, held).double(), 1).cpu().numpy()
        scores = balanced_scores(probabilities, validation)
        history.append(Strength(len(history) + 1, mean_loss, *scores, penalty))
        best = best_epoch(history)
        if best is history[-1]:
            to.load(head, weights)
        elif len(history) - best.epoch >= PATIENCE:
            break
    return history


def save_probe(probe: nn.Module, features: str, path: Path) -> None:
    """Write a probe as a weights file; its card names the features that it is for."""
    save_weights(path, tensors_of(probe), Card(f"probe/{features}", {}))


def _logits(weights: Tensor, coordinates: Tensor) -> Tensor:
    """Return (n, classes); in this order both passes are five times as fast as coordinates @ weights."""
    return (weights[:, :-1] @ coordinates.T).T + weights[:, -1]


def _minimise(
    penalised: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, scale: Tensor
) -> tuple[Tensor, float]:
    """Minimise a loss plus a penalty, both of weights, by L-BFGS over weights / scale; return also the loss there."""

    def slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = torch.from_numpy(flat).to(start).view_as(start).requires_grad_()
        total = sum(penalised(scaled * scale), start.new_zeros(()))
        total.backward()
        assert scaled.grad is not None  # noqa: S101 - backward has just filled it
        return float(total.detach()), scaled.grad.double().cpu().numpy().ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": GRADIENT_TOLERANCE}
    first = (start / scale).double().cpu().numpy().ravel()
    best = minimize(slope, first, jac=True, method="L-BFGS-B", options=options).x
    found = torch.from_numpy(best).to(start).view_as(start) * scale
    return found, float(penalised(found)[0])


def _counts(variance: Tensor) -> Tensor:
    """Say which directions count: at least one, the last."""
    kept = variance > variance[-1] * NEGLIGIBLE
    kept[-1] = True
    return kept
