"""The kinds of copies that are planted, by name; each kind's docstring gives the ranges that its parameters have."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from bench.duplicates.kinds import edits, overlays, selfclean, set_aside, views
from bench.duplicates.kinds.canvas import Rgb, Rng, jpeg
from pipeline.core.shards import decode

SAME_BYTES = "same_bytes"
QUALITY = (75, 95)  # of JPEG, for kinds that yield pixels

# Planted in a final run only, and NOTHING MAY BE TUNED ON THEM: see `set_aside`.
SET_ASIDE = ("story", "slide", "printed", "beautified", "annotated")
KINDS_IN: dict[ModuleType, str] = {
    edits: "lossless jpeg_strong jpeg_shifted webp palette exif_turned shrunk enlarged squeezed chat thumbnail crop "
    "crop_strong colour white_balance brightness greyscale local_contrast shadow blur noise sharpened",
    views: "quarter_turn mirror free_turn mirrored_crop perspective border letterbox "
    "phone viewer web_page photographed",
    overlays: "label tiled_watermark hairs ruler censored bubbles logo",
    set_aside: " ".join(SET_ASIDE),
}
PLAIN: dict[str, Callable[[Rgb, Rng], Rgb | bytes]] = {
    **{name: getattr(module, name) for module, names in KINDS_IN.items() for name in names.split()},
    "selfclean_aug": selfclean.aug,
    "selfclean_watermark": selfclean.watermark,
    "selfclean_colour_bar": selfclean.colour_bar,
}
# These lay another image beside the copy, one that is not in the collection.
BESIDE: dict[str, Callable[[Rgb, Rng, Rgb], Rgb | bytes]] = {
    "selfclean_mosaic": selfclean.mosaic,
    "collage": views.collage,
}
SELFCLEAN_ARTE = "selfclean_arte"  # the published mix of artefacts; its parts are kinds of their own above
BESIDE_IN_PROTOCOL = {SELFCLEAN_ARTE: selfclean.artefacts}

TUNING = tuple(sorted({SAME_BYTES, *PLAIN, *BESIDE} - set(SET_ASIDE)))
ALL = tuple(sorted({*TUNING, *SET_ASIDE}))


def takes_other(kind: str) -> bool:
    """Whether copies of a kind show another image too."""
    return kind in BESIDE or kind in BESIDE_IN_PROTOCOL


def plant(kind: str, original: bytes, rng: Rng, *, other: bytes | None = None) -> bytes:
    """Make a copy of an encoded image.

    Args:
        kind: one of `ALL`, or `SELFCLEAN_ARTE`.
        original: encoded.
        rng: whence the kind draws its parameters.
        other: for kinds that lay another image beside the copy.

    Returns:
        an encoded image: JPEG of quality 75 to 95, unless the kind says otherwise.

    """
    if kind == SAME_BYTES:
        return original
    rgb = decode(original)
    if other is not None:
        copied = (BESIDE | BESIDE_IN_PROTOCOL)[kind](rgb, rng, decode(other))
    else:
        copied = PLAIN[kind](rgb, rng)
    return copied if isinstance(copied, bytes) else jpeg(copied, int(rng.integers(QUALITY[0], QUALITY[1] + 1)))
