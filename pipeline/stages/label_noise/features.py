"""What a classifier sees of an image: principal components of its vector, and the patient's context beside them.

Everything is learnt from the rows handed in, and no label has a part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

MUCH_WIDER = 2  # times


@dataclass(frozen=True)
class FeatureMap:
    """A fitted map: mean (d,), and projection (d, components) from vectors to principal components."""

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]

    def apply(self, vectors: NDArray[np.float32], context: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map images: (n, d) and (n, numbers) to (n, components + numbers)."""
        return np.hstack([(vectors - self.mean) @ self.projection, context])


def fit_map(vectors: NDArray[np.float32], components: int) -> FeatureMap:
    """Learn principal components of vectors (n, d)."""
    return FeatureMap(*principal_components(vectors, components))


def narrow(vectors: NDArray[np.float32], known: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Turn wide vectors into principal components of the known ones, so that not every fold has to.

    Vectors that are not much wider than what is asked for stay as they are.

    Args:
        vectors: (n, d).
        known: (n,) whose directions count.
        count: components.

    """
    return vectors if vectors.shape[1] <= MUCH_WIDER * count else project(vectors, known, count)


def project(vectors: NDArray[np.float32], known: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Turn vectors (n, d) into principal components of the known ones (n,), scaled as `principal_components` does."""
    mean, projection = principal_components(vectors[known], count)
    components: NDArray[np.float32] = (vectors - mean) @ projection
    return components


def principal_components(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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
