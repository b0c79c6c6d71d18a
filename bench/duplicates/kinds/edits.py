"""Copies that programs and apps make of an image: another container, size or compression, other light or sharpness."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from bench.duplicates.kinds.canvas import Rgb, Rng, as_bytes, chance, cut, jpeg, png, resized, scaled, to_longer_side

ORIENTATION = 0x0112
TURNED_BACK = {1: 6, 2: 3, 3: 8}  # quarter turns counter-clockwise, and the Exif orientation that undoes them


def lossless(rgb: Rgb, rng: Rng) -> bytes:  # noqa: ARG001 - every kind takes a generator
    """Write the same pixels as PNG."""
    return png(rgb)


def jpeg_strong(rgb: Rgb, rng: Rng) -> bytes:
    """Compress at quality 10 to 35, chroma halved."""
    return jpeg(rgb, int(rng.integers(10, 36)), subsampling=2)


def jpeg_shifted(rgb: Rgb, rng: Rng) -> bytes:
    """Compress three times at quality 40 to 70, 1 to 7 pixels cut off each time: the blocks never fall together."""
    for _ in range(3):
        y, x = rng.integers(1, 8, 2)
        content = jpeg(np.ascontiguousarray(rgb[y:, x:]), int(rng.integers(40, 71)))
        rgb = np.array(Image.open(io.BytesIO(content)))
    return content


def webp(rgb: Rgb, rng: Rng) -> bytes:
    """Compress as WebP at quality 10 to 50."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=int(rng.integers(10, 51)))
    return buffer.getvalue()


def palette(rgb: Rgb, rng: Rng) -> bytes:
    """Reduce to 12 to 48 colours, dithered or not, as PNG."""
    dither = Image.Dither.FLOYDSTEINBERG if chance(rng, 0.5) else Image.Dither.NONE
    colours = int(rng.integers(12, 49))
    reference = Image.fromarray(rgb).quantize(colours, method=Image.Quantize.MEDIANCUT)
    return png(Image.fromarray(rgb).quantize(colours, palette=reference, dither=dither))


def exif_turned(rgb: Rgb, rng: Rng) -> bytes:
    """Turn the pixels by quarters and say so in Exif, as telephones do; quality 80 to 95."""
    quarters = int(rng.integers(1, 4))
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_BACK[quarters]
    return jpeg(np.ascontiguousarray(np.rot90(rgb, quarters)), int(rng.integers(80, 96)), exif=exif)


def shrunk(rgb: Rgb, rng: Rng) -> Rgb:
    """Shrink to 30 to 65% of each side."""
    return scaled(rgb, rng.uniform(0.3, 0.65))


def enlarged(rgb: Rgb, rng: Rng) -> Rgb:
    """Enlarge to 150 to 300% of each side."""
    return scaled(rgb, rng.uniform(1.5, 3))


def squeezed(rgb: Rgb, rng: Rng) -> Rgb:
    """Shrink one side alone, to 65 to 85%: a image forced into a square."""
    share = rng.uniform(0.65, 0.85)
    height, width = rgb.shape[:2]
    return (
        resized(rgb, round(width * share), height) if chance(rng, 0.5) else resized(rgb, width, round(height * share))
    )


def chat(rgb: Rgb, rng: Rng) -> bytes:
    """Send through two chat programs: longer side to 50 to 80%, quality 30 to 55, twice; no metadata."""
    for _ in range(2):
        rgb = to_longer_side(rgb, max(64, round(max(rgb.shape[:2]) * rng.uniform(0.5, 0.8) ** 0.5)))
        content = jpeg(rgb, int(rng.integers(30, 56)), subsampling=2)
        rgb = np.array(Image.open(io.BytesIO(content)))
    return content


def thumbnail(rgb: Rgb, rng: Rng) -> bytes:
    """Cut the middle square off-centre, as galleries do, 96 to 160 pixels a side, quality 60 to 80."""
    side = min(rgb.shape[:2])
    y, x = ((full - side) * rng.uniform(0.3, 0.7) for full in rgb.shape[:2])
    square = np.ascontiguousarray(rgb[round(y) : round(y) + side, round(x) : round(x) + side])
    pixels = int(rng.integers(96, 161))
    return jpeg(resized(square, pixels, pixels), int(rng.integers(60, 81)))


def crop(rgb: Rgb, rng: Rng) -> Rgb:
    """Keep 70 to 92% of each side."""
    return cut(rgb, rng, (0.7, 0.92))


def crop_strong(rgb: Rgb, rng: Rng) -> Rgb:
    """Keep 50 to 68% of each side, and enlarge what is left to the old width."""
    window = cut(rgb, rng, (0.5, 0.68))
    return scaled(window, rgb.shape[1] / window.shape[1])


def colour(rgb: Rgb, rng: Rng) -> Rgb:
    """Turn the hue by up to 25 degrees and scale the saturation by .5 to 1.6."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-12.5, 12.5)) % 180  # OpenCV counts hue in steps of 2 degrees
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.6), 0, 255)
    shifted: Rgb = cv2.cvtColor(as_bytes(hsv), cv2.COLOR_HSV2RGB)
    return shifted


def white_balance(rgb: Rgb, rng: Rng) -> Rgb:
    """Scale each channel by .75 to 1.3."""
    return as_bytes(rgb * rng.uniform(0.75, 1.3, 3))


def brightness(rgb: Rgb, rng: Rng) -> Rgb:
    """Bend by a gamma of .5 to 2, change contrast by .7 to 1.3 around mid-grey."""
    bent = (rgb / 255.0) ** np.exp(rng.uniform(np.log(0.5), np.log(2)))
    return as_bytes(((bent - 0.5) * rng.uniform(0.7, 1.3) + 0.5) * 255)


def greyscale(rgb: Rgb, rng: Rng) -> Rgb:
    """Take the colour away; half of them are tinted sepia."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return as_bytes(grey * (np.array([1.08, 0.94, 0.76]) if chance(rng, 0.5) else np.ones(3)))


def local_contrast(rgb: Rgb, rng: Rng) -> Rgb:
    """Equalise locally, as apps' HDR filters do: clip limit 2 to 5 over 4 to 8 cells a side."""
    cells = int(rng.integers(4, 9))
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(rng.uniform(2, 5), (cells, cells)).apply(np.ascontiguousarray(lab[..., 0]))
    equalised: Rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return equalised


def shadow(rgb: Rgb, rng: Rng) -> Rgb:
    """Lay a light gradient over it, from 1.2 down to .4 to .7 in a random direction."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[:height, :width]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x / width * np.cos(angle) + y / height * np.sin(angle)
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    return as_bytes(rgb * (1.2 - ramp * (1.2 - rng.uniform(0.4, 0.7)))[..., None])


def blur(rgb: Rgb, rng: Rng) -> Rgb:
    """Blur by a Gaussian of .6 to 1.4% of the shorter side, or along a line of 2 to 4%."""
    side = min(rgb.shape[:2])
    if chance(rng, 0.5):
        blurred: Rgb = cv2.GaussianBlur(rgb, (0, 0), side * rng.uniform(0.006, 0.014))
        return blurred
    length = max(3, round(side * rng.uniform(0.02, 0.04)))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    moved: Rgb = cv2.filter2D(rgb, -1, kernel / kernel.sum())
    return moved


def noise(rgb: Rgb, rng: Rng) -> Rgb:
    """Add Gaussian noise of 8 to 22 levels; to half of them salt and pepper on 1 to 3% of the pixels."""
    noisy = rgb + rng.normal(0, rng.uniform(8, 22), rgb.shape)
    if chance(rng, 0.5):
        struck = rng.random(rgb.shape[:2]) < rng.uniform(0.01, 0.03)
        noisy[struck] = 255 * (rng.random((struck.sum(), 1)) < 0.5)  # noqa: PLR2004 - a coin
    return as_bytes(noisy)


def sharpened(rgb: Rgb, rng: Rng) -> Rgb:
    """Mask unsharp: radius .8 to 1.6% of the shorter side, amount 1.5 to 4."""
    soft = cv2.GaussianBlur(rgb, (0, 0), min(rgb.shape[:2]) * rng.uniform(0.008, 0.016)).astype(np.float32)
    return as_bytes(rgb + rng.uniform(1.5, 4) * (rgb - soft))
