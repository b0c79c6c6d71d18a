"""Seven diagnoses, as maps of pigment and blood in the skin: what dermoscopy books describe, drawn loosely.

The structures of a class are likely, not certain, and colours overlap, so that no single clue gives a class away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pipeline.demo.fields import (
    SIDE,
    Field,
    between,
    blurred,
    branches,
    cells,
    chance,
    grid,
    noise,
    smoothstep,
    spots,
)

Rng = np.random.Generator


def _empty() -> Field:
    return np.zeros((SIDE, SIDE), np.float32)


@dataclass
class Layers:
    """What a lesion adds to the skin: melanin and blood absorb light; blue, white and keratin cover what is below."""

    melanin: Field = field(default_factory=_empty)
    blood: Field = field(default_factory=_empty)
    blue: Field = field(default_factory=_empty)
    white: Field = field(default_factory=_empty)
    keratin: Field = field(default_factory=_empty)


@dataclass(frozen=True)
class Outline:
    """Where a lesion lies: `rho` is 0 in its middle and 1 on its border, `radius` its mean radius (half sides)."""

    rho: Field
    angle: Field
    x: Field
    y: Field
    radius: float

    def inside(self, softness: float) -> Field:
        """1 inside, 0 outside, with a border of that relative width."""
        return smoothstep(1 + softness, 1 - softness, self.rho)

    def rim(self, start: float, end: float) -> Field:
        """1 in a ring around `end` of the way to the border."""
        return smoothstep(start, end, self.rho) * smoothstep(1.12, 0.95, self.rho)


def outline(rng: Rng, *, irregularity: float, radius: tuple[float, float] = (0.22, 0.42)) -> Outline:
    """Draw a border: an ellipse, bent by waves along the angle and by noise."""
    x, y = grid()
    mean = 0.88 * rng.uniform(*radius)
    bend = np.float32(0.10 * irregularity * mean)
    u, v = x + bend * noise(rng, 6), y + bend * noise(rng, 6)
    turn = rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    stretch = np.float32(rng.uniform(1.0, 1.25 + 0.25 * irregularity))
    u, v = (c * u + s * v) / stretch, (c * v - s * u) * stretch
    angle = np.arctan2(v, u)
    edge = np.ones_like(x)
    for k in range(2, 8):
        edge += np.float32(rng.normal(0, 0.16 * irregularity / k)) * np.cos(
            k * angle + np.float32(rng.uniform(0, 2 * np.pi))
        )
    rho = np.hypot(u, v) / (np.float32(mean) * np.clip(edge, 0.5, 1.6))
    return Outline(rho.astype(np.float32), angle, x, y, mean)


def nevus(rng: Rng) -> Layers:
    """Even, symmetric, one or two browns: a net, globules, or plain; or a pale raised one."""
    shape = outline(rng, irregularity=rng.choice([0.4, 0.7, 1.2], p=[0.5, 0.35, 0.15]), radius=(0.2, 0.36))
    inside, layers = shape.inside(rng.uniform(0.12, 0.35)), Layers()
    kind = rng.choice(["net", "globules", "plain", "raised"], p=[0.42, 0.22, 0.2, 0.16])
    depth = rng.uniform(0.1, 0.35) if kind == "raised" else rng.uniform(0.45, 1.25)
    profile = 1 + np.float32(rng.uniform(-0.45, 0.5)) * (shape.rho - np.float32(0.5)) + 0.12 * noise(rng, 5)
    layers.melanin += np.float32(depth) * inside * profile
    layers.blood += inside * np.float32(rng.uniform(0.05, 0.35))
    if kind == "net":
        layers.melanin += inside * _net(rng, irregularity=0.35) * np.float32(rng.uniform(0.25, 0.6))
    elif kind == "globules":
        layers.melanin += spots(rng, inside, between(rng, 60, 160), radius=(2, 5)) * inside * rng.uniform(0.3, 0.7)
    elif kind == "raised":
        layers.blood += branches(rng, inside, 5, length=18, width=1.1) * rng.uniform(0.1, 0.5)
        layers.white += 0.2 * inside * smoothstep(0.3, 1.5, noise(rng, 12))
    if chance(rng, 0.12):
        layers.blue += 0.35 * inside * smoothstep(0.4, 1.6, noise(rng, 4))
    return layers


def melanoma(rng: Rng) -> Layers:
    """Several colours, askew, with a ragged border; broken net, blue-white veil, streaks, dots, scars of regression."""
    shape = outline(rng, irregularity=rng.uniform(0.6, 1.9), radius=(0.24, 0.45))
    inside, layers = shape.inside(rng.uniform(0.06, 0.3)), Layers()
    tilt = (
        np.float32(rng.uniform(0.1, 0.7)) * (shape.x * np.cos(rng.uniform(0, 6)) + shape.y) / np.float32(shape.radius)
    )
    uneven = 1 + np.float32(rng.uniform(0.2, 0.5)) * noise(rng, 4) + tilt
    layers.melanin += np.float32(rng.uniform(0.45, 1.5)) * inside * np.clip(uneven, 0.1, 2.4)
    layers.blood += inside * np.clip(np.float32(rng.uniform(0.1, 0.4)) * (1 + noise(rng, 4)), 0, 1.2)
    if chance(rng, 0.65):
        patchy = smoothstep(-0.3, 0.9, noise(rng, 4))
        layers.melanin += inside * patchy * _net(rng, irregularity=1.0) * np.float32(rng.uniform(0.4, 1.0))
    if chance(rng, 0.5):
        start = rng.uniform(-0.2, 0.7)
        layers.blue += np.float32(rng.uniform(0.4, 0.8)) * inside * smoothstep(start, start + 0.9, noise(rng, 3))
    if chance(rng, 0.35):
        rays = smoothstep(0.1, 0.7, np.cos(np.float32(between(rng, 24, 44)) * shape.angle + 2 * noise(rng, 6)))
        layers.melanin += 0.7 * rays * shape.rim(0.75, 0.98) * smoothstep(-0.3, 0.5, noise(rng, 3))
    if chance(rng, 0.5):
        where = inside * smoothstep(-0.2, 1, noise(rng, 3))
        layers.melanin += spots(rng, where, between(rng, 20, 90), radius=(1.5, 5)) * rng.uniform(0.5, 1.1)
    if chance(rng, 0.35):
        layers.white += np.float32(rng.uniform(0.25, 0.6)) * inside * smoothstep(0.5, 1.3, noise(rng, 4))
    return layers


def basal_cell_carcinoma(rng: Rng) -> Layers:
    """Pink and pearly, tree-like vessels, blue-grey nests, leaf-like brown at the rim, sores."""
    shape = outline(rng, irregularity=rng.uniform(0.5, 1.4))
    inside, layers = shape.inside(rng.uniform(0.2, 0.45)), Layers()
    layers.blood += inside * np.clip(np.float32(rng.uniform(0.1, 0.4)) * (1 + 0.5 * noise(rng, 5)), 0, 1)
    layers.melanin += inside * np.float32(rng.uniform(-0.02, 0.3))
    if chance(rng, 0.75):
        vessels = branches(rng, inside, between(rng, 3, 8), length=rng.uniform(60, 130), width=rng.uniform(1.4, 3))
        layers.blood += vessels * shape.inside(0.4) * np.float32(rng.uniform(0.4, 1.0))
    if chance(rng, 0.55):
        nests = spots(rng, inside, between(rng, 3, 18), radius=(3, 15), softness=3)
        nests = smoothstep(0.25, 0.6, nests * (1 + 0.45 * noise(rng, 22)))
        layers.blue += nests * inside * np.float32(rng.uniform(0.4, 0.85))
        layers.melanin += nests * inside * np.float32(rng.uniform(0.2, 0.8))
    if chance(rng, 0.3):
        leaves = spots(rng, shape.rim(0.7, 0.95), between(rng, 6, 18), radius=(5, 12), softness=2)
        layers.melanin += 0.7 * smoothstep(0.2, 0.6, leaves * (1 + 0.6 * noise(rng, 26)))
    if chance(rng, 0.3):
        sore = smoothstep(0.9, 1.4, noise(rng, 5)) * inside
        layers.blood += 1.1 * sore
        layers.melanin += 0.5 * sore
    layers.white += np.float32(rng.uniform(0, 0.4)) * inside * smoothstep(0.3, 1.5, noise(rng, 8))
    return layers


def benign_keratosis(rng: Rng) -> Layers:
    """Stuck on: a sharp edge, dull brown to yellow, milia-like cysts, comedo-like plugs, furrows or fine ridges."""
    shape = outline(rng, irregularity=rng.uniform(0.4, 1.3), radius=(0.22, 0.44))
    inside, layers = shape.inside(rng.uniform(0.04, 0.22)), Layers()
    layers.melanin += np.float32(rng.uniform(0.2, 1.1)) * inside * np.clip(1 + 0.25 * noise(rng, 9, octaves=3), 0.2, 2)
    layers.keratin += inside * np.clip(np.float32(rng.uniform(0.12, 0.45)) * (1 + 0.5 * noise(rng, 8)), 0, 0.8)
    layers.blood += inside * np.float32(rng.uniform(0.0, 0.3))
    if chance(rng, 0.7):
        layers.white += spots(rng, inside, between(rng, 6, 40), radius=(1.5, 5), softness=1.5) * rng.uniform(0.5, 0.9)
    if chance(rng, 0.5):
        layers.melanin += spots(rng, inside, between(rng, 5, 30), radius=(2, 6)) * inside * rng.uniform(0.6, 1.6)
    if chance(rng, 0.5):
        furrows = smoothstep(0.28, 0.05, np.abs(noise(rng, between(rng, 9, 15), octaves=1)))
        layers.melanin += furrows * inside * np.float32(rng.uniform(0.25, 0.7))
    if chance(rng, 0.3):
        ridges = np.cos(np.float32(rng.uniform(100, 170)) * shape.x + 6 * noise(rng, 3))
        patchy = smoothstep(-0.8, 0.8, noise(rng, 5))
        layers.melanin += np.clip(ridges, 0, 1) * patchy * inside * np.float32(rng.uniform(0.15, 0.35))
    if chance(rng, 0.15):
        layers.blue += 0.3 * inside * smoothstep(0.2, 1.4, noise(rng, 14))
    return layers


def actinic_keratosis(rng: Rng) -> Layers:
    """Red without an edge, pale rings around hair follicles, dry yellow-white scale; now and then brown."""
    shape = outline(rng, irregularity=rng.uniform(0.6, 1.5), radius=(0.25, 0.45))
    inside, layers = shape.inside(rng.uniform(0.35, 0.7)), Layers()
    layers.blood += inside * np.clip(np.float32(rng.uniform(0.2, 0.6)) * (1 + 0.5 * noise(rng, 7, octaves=3)), 0, 1.4)
    if chance(rng, 0.6):
        follicles = cells(rng, rng.uniform(0.06, 0.11), bend=0.6)
        patchy = smoothstep(-1.2, 0.6, noise(rng, 5))
        layers.white += inside * patchy * smoothstep(0.45, 0.95, follicles) * np.float32(rng.uniform(0.15, 0.5))
        layers.blood += inside * patchy * smoothstep(0.1, -0.3, follicles) * np.float32(rng.uniform(0.1, 0.5))
    if chance(rng, 0.65):
        patchy = smoothstep(-0.4, 0.8, noise(rng, 4))
        flakes = patchy * smoothstep(0.5, 1.1, noise(rng, between(rng, 14, 30), octaves=3))
        layers.white += flakes * inside * np.float32(rng.uniform(0.4, 0.9))
        layers.keratin += flakes * inside * np.float32(rng.uniform(0.0, 0.6))
    if chance(rng, 0.35):
        layers.melanin += inside * np.clip(np.float32(rng.uniform(0.15, 0.6)) * (1 + 0.6 * noise(rng, 7)), 0, 2)
    layers.blood += branches(rng, inside, between(rng, 0, 9), length=20, width=1.1) * rng.uniform(0.2, 0.6)
    return layers


def dermatofibroma(rng: Rng) -> Layers:
    """A pale scar in the middle of a delicate light-brown net that fades into the skin."""
    shape = outline(rng, irregularity=rng.uniform(0.3, 0.9), radius=(0.2, 0.36))
    inside, layers = shape.inside(rng.uniform(0.3, 0.55)), Layers()
    layers.melanin += inside * np.float32(rng.uniform(0.15, 0.65)) * (1 + 0.15 * noise(rng, 5))
    layers.blood += inside * np.float32(rng.uniform(0.05, 0.4))
    if chance(rng, 0.7):
        net = _net(rng, irregularity=0.4)
        layers.melanin += inside * smoothstep(0.35, 0.8, shape.rho) * net * np.float32(rng.uniform(0.2, 0.5))
    if chance(rng, 0.9):
        scar = smoothstep(rng.uniform(0.45, 0.75), 0.15, shape.rho + 0.08 * noise(rng, 7))
        streaky = np.clip(0.8 + 0.3 * noise(rng, 12), 0, 1.2)
        layers.white += scar * streaky * np.float32(rng.uniform(0.4, 0.8))
    return layers


def vascular_lesion(rng: Rng) -> Layers:
    """Red, purple or black lagoons parted by pale walls; or one even red dome."""
    shape = outline(rng, irregularity=rng.uniform(0.3, 1.0), radius=(0.18, 0.36))
    inside, layers = shape.inside(rng.uniform(0.08, 0.25)), Layers()
    layers.blood += inside * np.float32(rng.uniform(0.5, 1.1))
    if chance(rng, 0.8):
        lagoons = cells(rng, rng.uniform(0.09, 0.2), bend=rng.uniform(0.3, 0.7)) + 0.15 * noise(rng, 9)
        lagoons = smoothstep(-0.3, rng.uniform(0.05, 0.3), lagoons) * inside
        layers.blood += lagoons * np.float32(rng.uniform(0.4, 1.2))
        dark = np.clip(np.float32(rng.uniform(-0.2, 1.0)) + 0.5 * noise(rng, 4), 0, 1.6)
        layers.melanin += lagoons * dark * np.float32(rng.uniform(0.2, 0.9))
        layers.blue += lagoons * np.clip(dark, 0, 1) * np.float32(rng.uniform(0, 0.5))
    else:
        layers.blood += inside * np.clip(0.4 + 0.2 * noise(rng, 6), 0, 1.5)
        layers.melanin += inside * np.float32(rng.uniform(0.0, 0.5))
    if chance(rng, 0.4):
        layers.white += np.float32(rng.uniform(0.2, 0.5)) * inside * smoothstep(0.3, 1.4, noise(rng, 4))
    return layers


DIAGNOSES: dict[str, Callable[[Rng], Layers]] = {
    "Actinic keratosis": actinic_keratosis,
    "Basal cell carcinoma": basal_cell_carcinoma,
    "Benign keratosis": benign_keratosis,
    "Dermatofibroma": dermatofibroma,
    "Melanocytic nevus": nevus,
    "Melanoma": melanoma,
    "Vascular lesion": vascular_lesion,
}


def _net(rng: Rng, *, irregularity: float) -> Field:
    """A pigment net: the walls of a bent honeycomb, thinner or broken where noise says so."""
    period = rng.uniform(0.034, 0.055) * (1 + 0.5 * irregularity)
    strength = np.clip(1 + np.float32(0.3 + 0.7 * irregularity) * noise(rng, 6), 0, 2)
    walls = smoothstep(0.2, -0.3, cells(rng, period, bend=0.35 + 0.5 * irregularity))
    return blurred(walls * strength, 0.8)
