"""Images that are no skin: X-ray-like drawings, blurred and posterised images, photographs, charts and slides.

The photographs are those that scikit-image, scikit-learn and matplotlib carry. X-rays cannot be had offline, so hands
are drawn as one would see them there: bright bones with soft edges on dark ground, and grain.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

FOLDERS = (("skimage", "data"), ("sklearn", "datasets/images"), ("matplotlib", "mpl-data/sample_data"))
LARGE = 512  # SelfClean blurs at this side
BLUR_RADIUS = (10, 100)
POSTERISE_BITS, SOLARISE_FROM = 2, 192
WORDS = (
    *("dermoscopy", "pigmented", "lesions", "network", "globules", "streaks"),
    *("of", "shows", "after", "follow", "up", "treatment", "patients"),
)
INK = [(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (20, 20, 20)]


def x_ray(rng: np.random.Generator) -> Image.Image:
    """Draw a hand of bones."""
    image = Image.new("L", (320, 400), int(rng.integers(5, 40)))
    canvas = ImageDraw.Draw(image)
    flesh, bone = int(rng.integers(50, 100)), int(rng.integers(150, 240))
    lean, palm = rng.normal(0, 0.1), rng.normal([160, 300], 8)
    ends = [
        palm + (170 + rng.normal(0, 15)) * _towards(-np.pi / 2 + lean + spread) for spread in np.linspace(-0.7, 0.7, 5)
    ]
    for end in ends:
        canvas.line([*palm, *end], fill=flesh, width=int(rng.integers(30, 44)))
    canvas.ellipse([palm[0] - 75, palm[1] - 70, palm[0] + 75, palm[1] + 90], fill=flesh)
    image = image.filter(ImageFilter.GaussianBlur(6))
    canvas = ImageDraw.Draw(image)
    for end in ends:
        joints = [palm + (end - palm) * step for step in (0.15, 0.5, 0.53, 0.75, 0.78, 0.95)]
        for a, b in zip(joints[::2], joints[1::2], strict=True):
            canvas.line([*a, *b], fill=bone, width=int(rng.integers(10, 16)))
            canvas.ellipse([b[0] - 9, b[1] - 8, b[0] + 9, b[1] + 8], fill=bone)
    grain = rng.normal(0, 8, (400, 320))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)), float)
    return Image.fromarray(np.clip(blurred + grain, 0, 255).astype(np.uint8)).convert("RGB")


def blurred(content: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Ruin an image as SelfClean's BLUR does: perhaps posterise, perhaps solarise, and blur by 10 to 100 pixels."""
    found = ImageOps.scale(content.convert("RGB"), LARGE / min(content.size))
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        found = ImageOps.posterize(found, POSTERISE_BITS)
    if rng.random() < 0.5:  # noqa: PLR2004
        found = ImageOps.solarize(found, SOLARISE_FROM)
    return found.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR_RADIUS)))


def photograph(rng: np.random.Generator) -> Image.Image:
    """Cut a random part out of a photograph that a package carries."""
    with Image.open(rng.choice(np.array(carried(), dtype=object))) as file:
        whole = file.convert("RGB")
    side = int(min(whole.size) * rng.uniform(0.6, 1))
    left, top = (int(rng.integers(0, length - side + 1)) for length in whole.size)
    return whole.crop((left, top, left + side, top + side))


def chart(rng: np.random.Generator) -> Image.Image:
    """Draw bars or lines with axes."""
    image = Image.new("RGB", (400, 300), "white")
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    canvas.line([50, 20, 50, 260, 380, 260], fill="black", width=2)
    count, ink = int(rng.integers(4, 12)), INK[rng.integers(len(INK))]
    heights = 260 - rng.uniform(20, 220, count)
    step = 320 / count
    if rng.random() < 0.5:  # noqa: PLR2004
        for i, height in enumerate(heights):
            canvas.rectangle([56 + i * step, height, 56 + (i + 0.7) * step, 260], fill=ink)
    else:
        canvas.line([(56 + i * step, float(height)) for i, height in enumerate(heights)], fill=ink, width=3)
    for i in range(5):
        canvas.text((8, 250 - 55 * i), f"{i * int(rng.integers(5, 50))}", fill="black", font=font)
    canvas.text((120, 275), f"Figure {rng.integers(1, 20)}: patients per year", fill="black", font=font)
    return image


def slide(rng: np.random.Generator) -> Image.Image:
    """Draw a title and lines of text."""
    image = Image.new("RGB", (480, 360), tuple(int(v) for v in rng.integers(220, 256, 3)))
    canvas = ImageDraw.Draw(image)
    canvas.text(
        (24, 20),
        " ".join(rng.choice(WORDS, 4)).title(),
        fill=INK[rng.integers(len(INK))],
        font=ImageFont.load_default(28),
    )
    body = textwrap.wrap(" ".join(rng.choice(WORDS, int(rng.integers(20, 60)))), 44)
    for i, line in enumerate(body[:11]):
        canvas.text(
            (30, 80 + 24 * i), f"- {line}" if i % 2 == 0 else line, fill="black", font=ImageFont.load_default(16)
        )
    return image


KINDS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "XR": x_ray,
    "photographs": photograph,
    "charts": chart,
    "slides": slide,
}


def carried() -> list[Path]:
    """List the photographs that packages carry: no logos, icons, test patterns or pages of them."""
    left_out = ("logo", "color", "chess", "phantom", "horse", "multipage", "Minduka", "gif")
    found: list[Path] = []
    for package, folder in FOLDERS:
        spec = find_spec(package)
        if spec and spec.origin:
            found += [
                path
                for path in sorted((Path(spec.origin).parent / folder).iterdir())
                if path.suffix in (".png", ".jpg")
            ]
    return [path for path in found if not any(word in path.name for word in left_out)]


def _towards(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])
