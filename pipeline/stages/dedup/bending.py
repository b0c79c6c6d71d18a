"""How far one picture is bent against another, in pixels: the smooth part of what no homography explains.

Skin is soft and no plane, so two photographs of it differ by a smooth field of displacements, however well they
correlate. A copy is the same exposure: what the homography leaves of its tiles' shifts is noise. A shift set against
its tile's noise (`agreement`) does not tell the two apart where other light on other pores passes for noise, and in
pixels a strongly compressed copy's shifts are a second photograph's. A field of few terms averages noise out.

The field is a cubic, u(x, y) = sum of c_ij x^i y^j over i + j <= 3, fitted by weighted least squares, each tile by its
noise and robustly (Cauchy's weights, as for the homography); `bending` is the median length of u over the tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DEGREES = {3: 20, 2: 12}  # of the field: the highest whose number of tiles, twice its coefficients, there are
ROUNDS = 4
SMALLEST = 0.5  # of the noise: residuals below it weigh alike

Array = np.ndarray[Any, Any]


def bending(centres: Array, left: Array, expected: Array) -> float:
    """Measure how far a smooth field displaces the tiles.

    Args:
        centres: (tiles, 2) pixels.
        left: (tiles, 2) pixels, each one's shift that no homography explains.
        expected: (tiles,) pixels, the shift that its noise explains.

    Returns:
        pixels, the median over tiles; NaN where too few tiles were measured for a field.

    """
    degree = next((degree for degree, least in DEGREES.items() if len(centres) >= least), None)
    if degree is None:
        return float("nan")
    x, y = ((centres - centres.mean(0)) / max(float(np.ptp(centres, axis=0).max()), 1.0) * 2).T
    terms = np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)
    field, trust = np.zeros_like(left), np.ones(len(left))
    for _ in range(ROUNDS):
        weight = (np.sqrt(trust) / expected)[:, None]
        fit, *_ = np.linalg.lstsq(terms * weight, left * weight, rcond=None)
        field = terms @ fit
        noise = np.linalg.norm(left - field, axis=1) / expected
        trust = 1 / (1 + (noise / max(float(np.median(noise)), SMALLEST)) ** 2)
    return float(np.median(np.linalg.norm(field, axis=1)))
