"""Tile-wise registration (Lucas and Kanade 1981): do two aligned images show the same, and are they one photograph?

    shift of a tile = (G'G + damping)^-1 G'(I_a - I_b);  H = robust homography of the shifts
    residual = median |shift - H| / expected by noise;   bending = median |smooth field of (shift - H)|

Correlation: two in three tiles must agree. A pasted label, a hair or a watermark may differ, but a frame or a ruler
that two images share is not enough. The band-pass makes it blind to light and colour, so that two dark blobs on bright
skin, which all dermoscopy shows, do not pass as one.

Residual: a copy, however degraded, even photographed off a screen, is a flat picture seen by a plane's map, while skin
is soft: between two photographs of one lesion the tiles have moved against each other. Bending: where other light on
other pores passes for noise, what the homography leaves is still a smooth field, which noise is not; a field of few
terms averages noise out.

Shared occlusions: hairs lie elsewhere in another photograph, and where they lay in a copy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.dedup.features.denoise import band_pass
from pipeline.stages.dedup.features.preprocess import PreprocessedImage

TILE = 32  # working pixels
STEP = 16
BAND = (1.5, 12.0)  # sigmas of the band-pass, working pixels
MIN_TILES = 6
QUANTILE = 0.35  # of the tiles' correlations: the rest agree better
MIN_TILE_SHARE = 0.9  # of a tile's pixels that lie in both images
MIN_TILE_STD = 1.0  # grey levels after the band-pass: a tile with less shows nothing to compare
MIN_TILE_CORRELATION = 0.5  # for a shift to be measured
FLOOR_NOISE = 0.5  # grey levels: rounding, and what a change of tone bends
FLOOR_SHIFT = 0.02  # working pixels: what interpolation does
DAMPING = 0.05  # of the mean squared gradient: a straight edge tells no shift along itself
MIN_TILES_PROJECTIVE = 20
MIN_OCCLUDED = 0.01  # of the overlap, in both, for occlusions to be compared
HOPELESS = 0.05  # correlation: below it, small steps lead nowhere
REFINEMENTS = 3
ROUNDING = 1e-6  # of a scale: turning to and fro must end
SAME_SCALE = 0.9  # above it, shrinking needs no blur first
BENDING_DEGREES = {3: 20, 2: 12}  # of the field: the highest whose number of tiles, twice its coefficients, there are
BENDING_ROUNDS = 4
SMALLEST_NOISE = 0.5  # of the expected shift: residuals below it weigh alike


class Registration(NamedTuple):
    """How two images lie on each other, and how well they agree there.

    matrix: 3 by 3, working pixels of a to those of b, refined.
    overlap: share of the smaller image, 0 to 1.
    correlation: a low quantile over tiles, -1 to 1; -1 where nothing can be compared.
    residual: median shift of a tile that no homography explains, by what noise explains; NaN where not measured.
    bending: pixels by which a smooth field displaces a tile, beyond the homography; NaN where not measured.
    shared_occlusions: how far the smaller ones lie on the other's: 1 wholly, 0 as by chance; NaN where either has few.
    """

    matrix: NDArray[np.floating[Any]]
    overlap: float
    correlation: float
    residual: float
    bending: float
    shared_occlusions: float


class _Tiles(NamedTuple):
    """Per tile: centre, correlation, whether it can be compared, shift (NaN where not measured), expected shift.

    And as (height, width) masks, where both images are, and where the moved one is not occluded.
    """

    centres: NDArray[np.float64]
    correlation: NDArray[np.float32]
    comparable: NDArray[np.bool_]
    shift: NDArray[np.float32]
    expected: NDArray[np.float64]
    inside: NDArray[np.bool_]
    moved_unoccluded: NDArray[np.uint8]


def register(a: PreprocessedImage, b: PreprocessedImage, matrix: NDArray[np.floating[Any]]) -> Registration:
    """Refine the map from a to b and compare the images where they overlap, at the coarser one's resolution.

    Args:
        a: one image.
        b: the other.
        matrix: 3 by 3, working pixels of a to those of b.

    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale > 1 + ROUNDING:  # a pixel of a is several of b: b is the finer one
        backward = register(b, a, np.linalg.inv(matrix))
        return backward._replace(matrix=np.linalg.inv(backward.matrix))
    fine = a if scale > SAME_SCALE else a._replace(grey=cv2.GaussianBlur(a.grey, (0, 0), 0.5 * np.sqrt(scale**-2 - 1)))
    target = band_pass(b.grey, BAND)
    tiles = _compare(fine, b, target, matrix)
    for _ in range(REFINEMENTS if _correlation(tiles) >= HOPELESS else 0):
        step, _ = _fit_homography(tiles)
        matrix = step @ matrix
        matrix = matrix / matrix[2, 2]
        tiles = _compare(fine, b, target, matrix)
    measured = ~np.isnan(tiles.shift[:, 0])
    left, expected = _fit_homography(tiles)[1], tiles.expected[measured]
    return Registration(
        matrix,
        overlap(a.grey.shape, b.grey.shape, matrix),
        _correlation(tiles),
        float(np.median(np.linalg.norm(left, axis=1) / expected)) if len(left) else float("nan"),
        measure_bending(tiles.centres[measured], left, expected),
        _shared_occlusions(tiles, b.unoccluded),
    )


def overlap(a: tuple[int, ...], b: tuple[int, ...], matrix: NDArray[np.floating[Any]]) -> float:
    """Return the share of the smaller image that the map brings into the other, of images of shapes (height, width)."""
    area, shared = _areas(a, b, matrix)
    return float(min(1.0, shared / max(min(area, float(b[0] * b[1])), 1.0)))


def covered(a: tuple[int, ...], b: tuple[int, ...], matrix: NDArray[np.floating[Any]]) -> float:
    """Return the share of image a that the map brings into b, of images of shapes (height, width)."""
    area, shared = _areas(a, b, matrix)
    return float(min(1.0, shared / max(area, 1.0)))


def measure_bending(centres: NDArray[np.float64], left: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Measure how far a smooth field displaces the tiles.

    The field is a cubic, u(x, y) = sum of c_ij x^i y^j over i + j <= 3 (of few tiles a quadric), fitted by weighted
    least squares, each tile by its noise and robustly (Cauchy's weights, as for the homography).

    Args:
        centres: (tiles, 2) pixels.
        left: (tiles, 2) pixels, each one's shift that no homography explains.
        expected: (tiles,) pixels, the shift that its noise explains.

    Returns:
        pixels, the median length of u over the tiles; NaN where too few tiles were measured for a field.

    """
    degree = next((degree for degree, least in BENDING_DEGREES.items() if len(centres) >= least), None)
    if degree is None:
        return float("nan")
    x, y = ((centres - centres.mean(0)) / max(float(np.ptp(centres, axis=0).max()), 1.0) * 2).T
    terms = np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)
    field, trust = np.zeros_like(left), np.ones(len(left))
    for _ in range(BENDING_ROUNDS):
        weight = (np.sqrt(trust) / expected)[:, None]
        fit, *_ = np.linalg.lstsq(terms * weight, left * weight, rcond=None)
        field = terms @ fit
        noise = np.linalg.norm(left - field, axis=1) / expected
        trust = 1 / (1 + (noise / max(float(np.median(noise)), SMALLEST_NOISE)) ** 2)
    return float(np.median(np.linalg.norm(field, axis=1)))


def _areas(a: tuple[int, ...], b: tuple[int, ...], matrix: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Return the area of a moved onto b, and how much of it lies in b."""
    corners = [np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) for h, w in (a, b)]
    moved = cv2.convexHull(cv2.perspectiveTransform(corners[0][None], matrix)[0])
    shared, _ = cv2.intersectConvexConvex(moved, cv2.convexHull(corners[1]))
    return cv2.contourArea(moved), shared


def _compare(
    a: PreprocessedImage, b: PreprocessedImage, target: NDArray[np.float32], matrix: NDArray[np.floating[Any]]
) -> _Tiles:
    """Move the finer image, a, onto the other, of which `target` is the band-pass, and compare tile by tile."""
    height, width = target.shape
    cubic = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
    moved = band_pass(cv2.warpPerspective(a.grey, matrix, (width, height), **cubic), BAND)
    masks = cv2.warpPerspective(cv2.merge([a.mask, a.unoccluded]), matrix, (width, height), flags=cv2.INTER_NEAREST)
    inside = (masks[..., 0] & b.mask) > 0
    y = _centred(_tiles(target))
    x = _centred(_tiles(moved))
    xx, yy, xy = (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)
    correlation = xy / np.sqrt(np.maximum(xx * yy, 1e-6))
    textured = np.maximum(xx, yy) >= TILE**2 * MIN_TILE_STD**2
    comparable = textured & (_tiles(inside).mean(1) >= MIN_TILE_SHARE)
    gx, gy = (_tiles(cv2.Sobel(target, cv2.CV_32F, *order, scale=1 / 8)) for order in ((1, 0), (0, 1)))
    difference = x * (xy / np.maximum(xx, 1e-6))[:, None] - y
    shift, gradient = _shifts(gx, gy, difference)
    shift[~comparable | (correlation < MIN_TILE_CORRELATION)] = np.nan
    noise = (1 - np.minimum(correlation, 1) ** 2) * yy / TILE**2 + FLOOR_NOISE**2
    rows, columns = np.mgrid[: height - TILE + 1 : STEP, : width - TILE + 1 : STEP]
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1) + (TILE - 1) / 2
    expected = np.sqrt(noise / np.maximum(gradient, 1e-6) + FLOOR_SHIFT**2)
    return _Tiles(centres, correlation, comparable, shift, expected, inside, masks[..., 1])


def _correlation(tiles: _Tiles) -> float:
    shown = tiles.correlation[tiles.comparable]
    return float(np.quantile(shown, QUANTILE)) if len(shown) >= MIN_TILES else -1.0


def _shared_occlusions(tiles: _Tiles, unoccluded: NDArray[np.uint8]) -> float:
    area = int(tiles.inside.sum())
    a, b = tiles.inside & (tiles.moved_unoccluded == 0), tiles.inside & (unoccluded == 0)
    smaller, larger = sorted((int(a.sum()), int(b.sum())))
    if smaller <= MIN_OCCLUDED * area or larger == area:
        return float("nan")
    chance = larger / area
    return (int((a & b).sum()) / smaller - chance) / (1 - chance)


def _shifts(
    gx: NDArray[np.float32], gy: NDArray[np.float32], difference: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Solve for the shift of each tile, damped; return it and the mean sum of squared gradients."""
    xx, xy, yy = (gx * gx).sum(1), (gx * gy).sum(1), (gy * gy).sum(1)
    mean = (xx + yy) / 2
    xx, yy = xx + DAMPING * mean + 1e-3, yy + DAMPING * mean + 1e-3
    bx, by = (gx * difference).sum(1), (gy * difference).sum(1)
    determinant = xx * yy - xy * xy
    return np.stack([yy * bx - xy * by, xx * by - xy * bx], axis=1) / determinant[:, None], mean


def _fit_homography(tiles: _Tiles) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a homography to the tiles' shifts, robustly; return it (3 by 3) and what is left, (measured tiles, 2) pixels.

    With fewer than MIN_TILES measured nothing is fitted, and none is returned.

    To first order it moves (x, y) by an affine part and by (g x + h y) (x, y); few tiles get the affine part only.
    """
    measured = ~np.isnan(tiles.shift[:, 0])
    count = int(measured.sum())
    if count < MIN_TILES:
        return np.eye(3), np.zeros((0, 2))
    size = float(max(tiles.inside.shape))
    (x, y), shift = tiles.centres[measured].T / size, tiles.shift[measured] / size
    zero, one = np.zeros(count), np.ones(count)
    across = np.stack([x, y, one, zero, zero, zero, x * x, x * y], axis=1)
    along = np.stack([zero, zero, zero, x, y, one, x * y, y * y], axis=1)
    terms = 8 if count >= MIN_TILES_PROJECTIVE else 6
    design, weight = np.stack([across, along], axis=1)[:, :, :terms], np.ones((count, 1))
    for _ in range(4):
        rows = (design * weight[..., None]).reshape(-1, terms)
        fit, *_ = np.linalg.lstsq(rows, (shift * weight).ravel(), rcond=None)
        left = size * (shift - design @ fit)
        length = np.linalg.norm(left, axis=1)
        weight = 1 / np.sqrt(1 + (length / max(float(np.median(length)), 0.02)) ** 2)[:, None]
    step = np.eye(3)
    step[:2] += fit[:6].reshape(2, 3)
    step[2, :2] -= fit[6:] if terms > 6 else 0.0  # noqa: PLR2004 - more than an affine map has
    scaling = np.diag([size, size, 1.0])
    return scaling @ step @ np.linalg.inv(scaling), left


def _centred(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = tiles - tiles.mean(1, keepdims=True)
    return centred


def _tiles(image: NDArray[Any]) -> NDArray[Any]:
    """Cut into overlapping tiles: (tiles, pixels of a tile)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (TILE, TILE))[::STEP, ::STEP]
    return windows.reshape(-1, TILE * TILE)
