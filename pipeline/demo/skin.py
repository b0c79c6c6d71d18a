"""The patch of skin around a lesion: tone, texture, hairs; and the colour that pigment and blood give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.demo.fields import (
    SIDE,
    Field,
    between,
    blurred,
    branches,
    chance,
    grid,
    noise,
    smoothstep,
    spots,
    stroke,
)
from pipeline.demo.lesions import DIAGNOSES, Layers, Rng

Colours = np.ndarray[Any, np.dtype[np.float32]]

# Absorption of red, green and blue light by one unit of each (Beer and Lambert's law, strengths chosen by eye).
MELANIN = np.array([0.45, 0.85, 1.25], np.float32)
BLOOD = np.array([0.14, 0.95, 0.80], np.float32)
DERMIS = np.array([0.96, 0.87, 0.81], np.float32)
# What covers: scattered light over deep pigment, scar and scale, horn.
BLUE = np.array([0.38, 0.44, 0.55], np.float32)
WHITE = np.array([0.93, 0.86, 0.82], np.float32)
KERATIN = np.array([0.80, 0.66, 0.44], np.float32)
DARK_HAIR = np.array([0.13, 0.09, 0.08], np.float32)
FAIR_HAIR = np.array([0.62, 0.50, 0.36], np.float32)


def scene(rng: Rng, diagnosis: str) -> Colours:
    """Draw skin with one lesion: RGB from 0 to 1, shape (SIDE, SIDE, 3), as it would look in even light."""
    layers = DIAGNOSES[diagnosis](rng)
    _add_skin(rng, layers)
    return _with_hairs(rng, _colours(layers))


def _add_skin(rng: Rng, layers: Layers) -> None:
    """Add the skin's own pigment and blood: tone, mottling, furrows, pores, freckles."""
    tone = rng.choice([rng.uniform(0.02, 0.22), rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.0)], p=[0.6, 0.28, 0.12])
    flush = rng.uniform(0.06, 0.34) * (1 - 0.5 * tone)
    relief = np.float32(rng.uniform(0.03, 0.10))
    layers.melanin += np.float32(tone) * (1 + 0.12 * noise(rng, 4) + relief * noise(rng, 60, octaves=2))
    layers.blood += np.float32(flush) * np.clip(1 + np.float32(rng.uniform(0.05, 0.3)) * noise(rng, 5, octaves=3), 0, 3)
    layers.melanin += _furrows(rng) * np.float32(rng.uniform(0.03, 0.16))
    everywhere = np.ones((SIDE, SIDE), np.float32)
    pores = between(rng, 0, 160)
    layers.melanin += spots(rng, everywhere, pores, radius=(0.8, 2), softness=0.8) * np.float32(rng.uniform(0.05, 0.3))
    if chance(rng, 0.2):
        freckles = spots(rng, everywhere, between(rng, 3, 20), radius=(4, 14), softness=4)
        layers.melanin += freckles * np.float32(rng.uniform(0.1, 0.35))
    if chance(rng, 0.25):
        vessels = branches(rng, everywhere, between(rng, 3, 14), length=45, width=1.2)
        layers.blood += vessels * np.float32(rng.uniform(0.1, 0.3))


def _furrows(rng: Rng) -> Field:
    """Cross two sets of bent parallel lines, as the skin's creases do."""
    x, y = grid()
    lines = np.zeros((SIDE, SIDE), np.float32)
    angle = rng.uniform(0, np.pi)
    for turn in (0.0, rng.uniform(0.8, 1.6)):
        c, s = np.float32(np.cos(angle + turn)), np.float32(np.sin(angle + turn))
        phase = np.float32(rng.uniform(55, 110)) * (c * x + s * y) + 2.2 * noise(rng, 7, octaves=3)
        lines += smoothstep(0.75, 1.0, np.cos(phase)) * smoothstep(-0.8, 0.8, noise(rng, 9))
    return lines


def _colours(layers: Layers) -> Colours:
    melanin, blood = np.clip(layers.melanin, 0, 4), np.clip(layers.blood, 0, 3)
    channels = [DERMIS[i] * np.exp(-MELANIN[i] * melanin - BLOOD[i] * blood) for i in range(3)]
    for cover, colour in ((layers.blue, BLUE), (layers.keratin, KERATIN), (layers.white, WHITE)):
        if not cover.any():
            continue
        share = np.clip(cover, 0, 0.9)
        # A cover keeps a part of the brightness below it, so that structures show through.
        below = np.clip(0.35 + (channels[0] + channels[1] + channels[2]) * np.float32(0.4), 0.45, 1.05) * share
        channels = [channel * (1 - share) + colour[i] * below for i, channel in enumerate(channels)]
    return np.stack(channels, axis=2)


def _with_hairs(rng: Rng, colours: Colours) -> Colours:
    """Lay some hairs over the skin, of one colour and about one direction."""
    if chance(rng, 0.5):
        return colours
    count = between(rng, 1, 8) if chance(rng, 0.65) else between(rng, 8, 32)
    layer = np.zeros((SIDE, SIDE), np.float32)
    direction, spread, thickness = rng.uniform(0, np.pi), rng.uniform(0.15, 0.8), rng.uniform(0.6, 1.8)
    for start in rng.uniform(0, SIDE, (count, 2)):
        angles = direction + rng.normal(0, spread) + np.cumsum(np.full(24, rng.normal(0, 0.035)))
        path = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(5, 14), 0)
        stroke(layer, path, thickness, rng.uniform(0.6, 0.95))
    share = blurred(layer, 0.6)[..., None]
    colour = DARK_HAIR + np.float32(rng.beta(0.6, 1.6)) * (FAIR_HAIR - DARK_HAIR)
    return colours * (1 - share) + colour.astype(np.float32) * share
