"""What a probe sees of an image: principal components of its vector and the patient's context, bent or straight.

With landmarks the map is Nyström's of a Gaussian kernel (Williams and Seeger 2001): a linear probe on it bends with the
data, which on HAM10000 finds more errors than a straight one, most of all among diagnoses that are easily confused. Its
memory is linear in images. Everything is learnt from the rows handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from pipeline.stages.label_noise.labelled import Array
from pipeline.stages.label_noise.params import Probe

JITTER = 1e-4  # of the landmarks' kernel matrix: directions below it are noise
MUCH_WIDER = 2  # times
BLOCK = 4096  # images mapped at a time


@dataclass(frozen=True)
class FeatureMap:
    """A fitted map.

    mean, projection: from vectors to principal components, (d,) and (d, components).
    context_weight: of the patient's context beside the components.
    landmarks: (m, inputs), none for the inputs themselves.
    precision: of the kernel exp(-precision · |a - b|²).
    whitening: (m, features).
    """

    mean: Array
    projection: Array
    context_weight: float
    landmarks: Array
    precision: float
    whitening: Array

    def apply(self, vectors: Array, context: Array) -> Array:
        """Map images: (n, d) and (n, numbers) to (n, features), float32."""
        inputs = _inputs(vectors, context, self.mean, self.projection, self.context_weight)
        if len(self.landmarks) == 0:
            return inputs
        parts = [
            np.exp(-self.precision * _distances(inputs[start : start + BLOCK], self.landmarks)) @ self.whitening
            for start in range(0, len(inputs), BLOCK)
        ]
        return np.concatenate(parts)


def fit_map(vectors: Array, context: Array, params: Probe) -> FeatureMap:
    """Learn principal components, and landmarks if `params` asks for them.

    The features' squares sum to about the number of components, whatever the map, so that the strength of the L2
    penalty means the same.

    Args:
        vectors: (n, d) float32.
        context: (n, numbers) float32.
        params: how many components and landmarks, and the seed that draws the latter.

    """
    mean, projection = principal_components(vectors, params.components)
    nothing = np.zeros((0, 0), np.float32)
    if params.landmarks == 0:
        return FeatureMap(mean, projection, params.context_weight, nothing, 0.0, nothing)
    rng = np.random.default_rng(params.seed)
    chosen = np.sort(rng.choice(len(vectors), min(params.landmarks, len(vectors)), replace=False))
    landmarks = _inputs(vectors[chosen], context[chosen], mean, projection, params.context_weight)
    distances = _distances(landmarks, landmarks)
    precision = params.curvature / max(float(np.median(distances)), 1e-12)
    values, directions = np.linalg.eigh(np.exp(-precision * distances).astype(np.float64))
    kept = values > JITTER
    whitening = directions[:, kept] * np.sqrt(projection.shape[1] / values[kept])
    return FeatureMap(mean, projection, params.context_weight, landmarks, precision, whitening.astype(np.float32))


def narrow(vectors: Array, known: Array, count: int) -> Array:
    """Turn wide vectors into principal components of the known ones, so that not every fold has to.

    No label has a part in it. Vectors that are not much wider than what is asked for stay as they are.

    Args:
        vectors: (n, d) float32.
        known: (n,) whose directions count.
        count: components.

    """
    return vectors if vectors.shape[1] <= MUCH_WIDER * count else project(vectors, known, count)


def project(vectors: Array, known: Array, count: int) -> Array:
    """Turn vectors (n, d) into principal components of the known ones (n,), scaled as `principal_components` does."""
    mean, projection = principal_components(vectors[known], count)
    found: Array = (vectors - mean) @ projection
    return found


def principal_components(vectors: Array, count: int) -> tuple[Array, Array]:
    """Find the directions of largest variance.

    Returns:
        mean (d,), and projection (d, components) scaled so that the components have variance 1 on average: the strength
        of the L2 penalty then means the same for every encoder.

    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean.astype(np.float32)
    covariance, width = (centred.T @ centred).astype(np.float64) / len(vectors), vectors.shape[1]
    values, directions = eigh(covariance, subset_by_index=[max(width - count, 0), width - 1], overwrite_a=True)
    kept = values > max(values[-1], 1e-12) * 1e-6
    kept[-1] = True  # all vectors may be one and the same
    spread = np.sqrt(max(values[kept].mean(), 1e-12))
    return mean.astype(np.float32), (directions[:, kept] / spread).astype(np.float32)


def _inputs(vectors: Array, context: Array, mean: Array, projection: Array, context_weight: float) -> Array:
    inputs: Array = np.hstack([(vectors - mean) @ projection, context * np.float32(context_weight)])
    return inputs


def _distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, (n, m)."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    found: Array = np.maximum(squares, 0)
    return found
