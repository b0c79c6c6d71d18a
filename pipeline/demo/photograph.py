"""From a scene to a photograph: camera, light, what lies on the glass, and the sensor."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.demo.fields import SIDE, blurred, chance, noise
from pipeline.demo.lesions import Rng
from pipeline.demo.skin import Colours

RGB = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

LONG_SIDE = (180, 420)
BEND = (0.003, 0.006)  # how far skin shifts between two photographs, of the scene's side
ASPECTS = (1.0, 4 / 3, 4 / 3, 4 / 3, 3 / 2, 1.2, 1.6)


def photograph(rng: Rng, scene: Colours) -> RGB:
    """Take a photograph of a scene; frame, angle, light and size are drawn, so two differ as two visits do."""
    long_side, aspect = rng.integers(*LONG_SIDE, endpoint=True), rng.choice(ASPECTS)
    width, height = int(long_side), round(long_side / aspect)
    if chance(rng, 0.2):
        width, height = height, width
    image = _aim(rng, scene, width, height)
    image = _on_the_glass(rng, image)
    image = _light(rng, image)
    return _expose(rng, image)


def _aim(rng: Rng, scene: Colours, width: int, height: int) -> Colours:
    """Look at the scene from some distance, turned and a little aslant; skin gives way under the glass."""
    zoom = rng.uniform(0.7, 1.05) * SIDE / np.hypot(width, height)
    angle, shear = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.03, (2, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * (turn @ (np.eye(2) + shear))
    middle = np.array([SIDE, SIDE]) / 2 + rng.normal(0, 0.02 * SIDE, 2)
    matrix = np.column_stack([linear, middle - linear @ (np.array([width, height]) / 2)])
    source = blurred(scene, 0.35 * zoom) if zoom > 1 else scene  # no aliasing where the photograph is smaller
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    bend = np.float32(rng.uniform(*BEND) * SIDE)
    shift = np.dstack([bend * noise(rng, 3, octaves=1), bend * noise(rng, 3, octaves=1)])
    shift = cv2.warpAffine(shift, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    place = np.stack([x, y, np.ones_like(x)], axis=2) @ matrix.T + shift
    aimed: Colours = cv2.remap(
        source, place.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return aimed


def _light(rng: Rng, image: Colours) -> Colours:
    """Let light fall from one side, fade towards the corners and have a tint; some dermoscopes show their round rim."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.13) * (np.cos(angle) * x + np.sin(angle) * y)
    light = 1 + slope - rng.uniform(0, 0.16) * (x * x + y * y)
    if chance(rng, 0.08):
        reach = np.hypot(x * width, y * height) / min(width, height)
        light *= np.clip((rng.uniform(1.02, 1.25) - reach) * 25, 0.02, 1)
    tint = np.clip(rng.normal(1, 0.045, 3), 0.88, 1.12)
    lit: Colours = image * light[..., None].astype(np.float32) * tint.astype(np.float32)
    return lit


def _on_the_glass(rng: Rng, image: Colours) -> Colours:
    """Put a ruler, gel bubbles or a pen mark between lens and skin, on some."""
    image = np.ascontiguousarray(image)
    if chance(rng, 0.14):
        _ruler(rng, image)
    if chance(rng, 0.16):
        image = _bubbles(rng, image)
    if chance(rng, 0.06):
        _pen(rng, image)
    return image


def _ruler(rng: Rng, image: Colours) -> None:
    """Draw a scale along one side: ticks and every fifth one longer."""
    height, width = image.shape[:2]
    step, depth = rng.uniform(6, 13), rng.uniform(3, 16)
    ink, below = float(rng.uniform(0.05, 0.2)), chance(rng, 0.5)
    for i, x in enumerate(np.arange(rng.uniform(0, step), width, step)):
        length = depth + (10 if i % 5 == 0 else 5)
        ends = (height - depth, height - length) if below else (depth, length)
        a, b = ((round(x * 8), round(end * 8)) for end in ends)
        cv2.line(image, a, b, (ink, ink, ink), 1, cv2.LINE_AA, 3)


def _bubbles(rng: Rng, image: Colours) -> Colours:
    """Draw air bubbles in the gel: bright rims, each with a spot of light."""
    height, width = image.shape[:2]
    shine = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(2, 14)):
        x, y, radius = rng.uniform(0, 8 * width), rng.uniform(0, 8 * height), rng.uniform(16, 88)
        strength = float(rng.uniform(0.2, 0.5))
        where = (round(x), round(y))
        cv2.circle(shine, where, round(radius), 0.25 * strength, -1, cv2.LINE_AA, 3)
        cv2.circle(shine, where, round(radius), strength, 1, cv2.LINE_AA, 3)
        cv2.circle(
            shine, (round(x - 0.4 * radius), round(y - 0.4 * radius)), round(radius / 7), 1.0, -1, cv2.LINE_AA, 3
        )
    return image + (1 - image) * shine[..., None]


def _pen(rng: Rng, image: Colours) -> None:
    """Draw a surgeon's mark: a short violet stroke near the edge."""
    height, width = image.shape[:2]
    start = np.array([rng.choice([0.08, 0.92]) * width, rng.uniform(0.1, 0.9) * height])
    steps = rng.normal(0, 0.012, (12, 2)) + rng.normal(0, 0.02, 2)
    path = np.round((start + np.cumsum(steps, 0) * min(height, width)) * 8).astype(np.int32)
    ink, thickness = (0.30, 0.22, 0.52), int(rng.integers(3, 7))
    cv2.polylines(image, [path], isClosed=False, color=ink, thickness=thickness, lineType=cv2.LINE_AA, shift=3)


def _expose(rng: Rng, image: Colours) -> RGB:
    """Blur a little, expose, add the sensor's noise, and round to 8 bits."""
    if chance(rng, 0.6):
        image = blurred(image, float(rng.choice([0.5, 0.7, 1.2], p=[0.6, 0.3, 0.1])))
    exposed = np.clip(image * np.float32(rng.uniform(0.84, 1.08)), 0, 1) ** np.float32(rng.uniform(0.88, 1.15))
    grain = rng.standard_normal(image.shape[:2], np.float32) * np.float32(rng.uniform(0.003, 0.014))
    rounded: RGB = np.round(np.clip(exposed + grain[..., None], 0, 1) * 255).astype(np.uint8)
    return rounded
