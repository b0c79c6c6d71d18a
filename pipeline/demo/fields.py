"""Grey fields that lesions and skin are made of: noise, nets, spots, branching lines.

A field is a float32 array of shape (SIDE, SIDE). Positions are in units of half the side, from -1 to 1.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

SIDE = 480
SMOOTH_CELLS = 20
FORKS_ABOVE = 1.2

Field = np.ndarray[Any, np.dtype[np.float32]]


def chance(rng: np.random.Generator, share: float) -> bool:
    """Say yes in that share of all cases."""
    return bool(rng.random() < share)


def between(rng: np.random.Generator, low: int, high: int) -> int:
    """Draw a whole number from `low` to `high`, exclusive."""
    return int(rng.integers(low, high))


def grid() -> tuple[Field, Field]:
    """Return the x and y coordinates of every pixel, -1 to 1."""
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def noise(rng: np.random.Generator, cells: int, *, octaves: int = 2) -> Field:
    """Draw smooth noise of mean 0 and standard deviation 1; `cells` features a side, halved in size by each octave."""
    # Smooth noise is drawn on a quarter of the side and stretched, which costs a sixth and looks the same.
    side = SIDE // 4 if cells * 2 ** (octaves - 1) <= SMOOTH_CELLS else SIDE
    total: Field = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        knots = cells * 2**octave + 3
        coarse = rng.standard_normal((knots, knots), np.float32)
        total += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) * np.float32(0.5**octave)
    mean, deviation = cv2.meanStdDev(total)
    total = (total - np.float32(mean[0, 0])) / np.float32(deviation[0, 0])
    stretched: Field = cv2.resize(total, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return stretched


def smoothstep(low: float, high: float, values: Field) -> Field:
    """Rise from 0 at `low` to 1 at `high` without a corner; falls where `low` > `high`."""
    t: Field = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def cells(rng: np.random.Generator, period: float, *, bend: float) -> Field:
    """Draw a bent honeycomb: 1 in the middle of each cell, about -0.4 on the walls between cells.

    Args:
        rng: random numbers.
        period: width of a cell, in half sides.
        bend: how far the cells are pushed about, in their own widths, at two scales.

    """
    x, y = grid()
    few, many = np.float32(bend * period), np.float32(0.22 * bend * period)
    x += few * noise(rng, 7) + many * noise(rng, round(1.1 / period), octaves=1)
    y += few * noise(rng, 7) + many * noise(rng, round(1.1 / period), octaves=1)
    turn = rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = c * x + s * y, c * y - s * x
    # Three plane waves at 60 degrees interfere to a honeycomb.
    k = np.float32(2 * np.pi / period)
    half, root = np.float32(0.5), np.float32(np.sqrt(0.75))
    total: Field = np.cos(k * x) + np.cos(k * (half * x + root * y)) + np.cos(k * (half * x - root * y))
    return total / np.float32(3)


def spots(
    rng: np.random.Generator, where: Field, count: int, *, radius: tuple[float, float], softness: float = 1.0
) -> Field:
    """Scatter round and oval spots with the density `where`; each has its own strength, 0.5 to 1.

    Args:
        rng: random numbers.
        where: density, not negative.
        count: number of spots.
        radius: smallest and largest radius in pixels.
        softness: blur of the rims, pixels.

    """
    layer: Field = np.zeros((SIDE, SIDE), np.float32)
    for x, y in positions(rng, where, count):
        a = rng.uniform(*radius)
        axes = (round(8 * a), round(8 * a * rng.uniform(0.6, 1.0)))
        cv2.ellipse(layer, (x * 8, y * 8), axes, rng.uniform(0, 180), 0, 360, rng.uniform(0.5, 1), -1, cv2.LINE_AA, 3)
    return blurred(layer, softness)


def branches(rng: np.random.Generator, where: Field, count: int, *, length: float, width: float) -> Field:
    """Grow winding lines that thin out and fork, like vessels; `length` and `width` in pixels."""
    layer: Field = np.zeros((SIDE, SIDE), np.float32)
    todo = [(np.array(p, float), rng.uniform(0, 2 * np.pi), width, length) for p in positions(rng, where, count)]
    while todo:
        point, angle, thickness, rest = todo.pop()
        steps = max(int(rest / 6), 2)
        angles = angle + np.cumsum(rng.normal(0, 0.28, steps))
        path = point + np.cumsum(6 * np.stack([np.cos(angles), np.sin(angles)], 1), 0)
        path = np.vstack([point, path])
        stroke(layer, path, thickness, rng.uniform(0.6, 1))
        if thickness > FORKS_ABOVE:
            for fork in rng.integers(1, len(path), rng.integers(1, 4)):
                turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
                todo.append((path[fork], angles[fork - 1] + turn, thickness * 0.6, rest * rng.uniform(0.35, 0.7)))
    return blurred(layer, 0.7)


def stroke(layer: Field, path: np.ndarray[Any, Any], thickness: float, value: float) -> None:
    """Draw a line through the points `path` of shape (n, 2), x before y, onto `layer`; thin ones are fainter."""
    cv2.polylines(
        layer,
        [np.round(path * 8).astype(np.int32)],
        isClosed=False,
        color=value * min(thickness, 1.0),
        thickness=max(round(thickness), 1),
        lineType=cv2.LINE_AA,
        shift=3,
    )


def positions(rng: np.random.Generator, where: Field, count: int) -> np.ndarray[Any, Any]:
    """Draw pixel positions, x before y, with the density `where`: shape (count, 2); none if it is 0."""
    coarse = cv2.resize(where, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    total = coarse.sum()
    if total <= 0:
        return np.empty((0, 2), np.int64)
    flat = rng.choice(len(coarse), count, p=coarse / total)
    y, x = np.divmod(flat, SIDE // 4)
    return np.stack([x, y], 1) * 4 + rng.integers(0, 4, (count, 2))


def blurred(layer: Field, sigma: float) -> Field:
    """Blur by a Gaussian of `sigma` pixels."""
    soft: Field = cv2.GaussianBlur(layer, (0, 0), sigma)
    return soft
