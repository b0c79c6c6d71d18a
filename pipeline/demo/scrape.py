"""Plans the demo's scrape: which lesions, photographs, copies, wrong labels and stray images lie in which folder.

The plan is the truth: what is drawn follows from it, and `data/truth/demo.csv` is written from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.errors import UserError
from pipeline.demo import copies

# Imbalanced as the field is: nevi most.
SHARES = {
    "Actinic keratosis": 0.09,
    "Basal cell carcinoma": 0.13,
    "Benign keratosis": 0.14,
    "Dermatofibroma": 0.07,
    "Melanocytic nevus": 0.34,
    "Melanoma": 0.16,
    "Vascular lesion": 0.07,
}
# What people take each diagnosis for, most likely first.
CONFUSED = {
    "Actinic keratosis": ("Basal cell carcinoma", "Benign keratosis", "Basal cell carcinoma"),
    "Basal cell carcinoma": ("Actinic keratosis", "Melanoma", "Benign keratosis"),
    "Benign keratosis": ("Melanoma", "Melanocytic nevus", "Actinic keratosis"),
    "Dermatofibroma": ("Melanocytic nevus", "Melanocytic nevus", "Basal cell carcinoma"),
    "Melanocytic nevus": ("Melanoma", "Benign keratosis", "Melanoma", "Dermatofibroma"),
    "Melanoma": ("Melanocytic nevus", "Benign keratosis", "Melanocytic nevus", "Vascular lesion"),
    "Vascular lesion": ("Melanoma", "Melanocytic nevus", "Basal cell carcinoma"),
}
OFF_TOPIC_SHARE = 0.04
COPY_SHARE = 0.16
ACROSS_SHARE = 0.25  # of the copies: in the folder of another diagnosis
WRONG_SHARE = 0.07  # of the lesions
SECOND_VIEW_SHARE = 0.2  # of the lesions
PNG_SHARE = 0.04
LEAST_IMAGES = 40
BROKEN = ("truncated", "not_an_image")


@dataclass(frozen=True)
class Item:
    """One file of the scrape.

    number: identifies it within the plan, and seeds its random numbers.
    lesion: number of the lesion it shows; -1 for a stray image.
    true_label: what it shows; empty for a stray image.
    given_label: the folder it lies in.
    defect: empty, `wrong_label`, a kind of copy, `off_topic`, or a kind of broken file.
    original: number of the photograph that a copy copies; -1 otherwise.
    path: relative to the batch.
    """

    number: int
    lesion: int
    true_label: str
    given_label: str
    defect: str = ""
    original: int = -1
    path: str = ""


def plan(rng: np.random.Generator, *, images: int) -> list[Item]:
    """Plan a scrape of `images` files.

    Raises:
        UserError: too few images to hold every kind of defect.

    """
    if images < LEAST_IMAGES:
        raise UserError(f"--images {images} is too few for every kind of defect: ask for {LEAST_IMAGES} or more")
    strays, copied = round(OFF_TOPIC_SHARE * images), max(round(COPY_SHARE * images), len(copies.KINDS) + 1)
    photographs = _photographs(rng, images - strays - copied - len(BROKEN))
    items = photographs + _copies(rng, photographs, copied)
    items += _strays(rng, strays, first=len(items))
    return _named(rng, items)


def _photographs(rng: np.random.Generator, count: int) -> list[Item]:
    """Give each lesion one photograph, some a second, and some lesions a wrong label."""
    lesions = round(count / (1 + SECOND_VIEW_SHARE))
    bounds = np.round(np.cumsum([0, *SHARES.values()]) * lesions).astype(int)
    labels = [label for label, n in zip(SHARES, np.diff(bounds), strict=True) for _ in range(n)]
    wrong = set(rng.choice(lesions, max(round(WRONG_SHARE * lesions), 1), replace=False).tolist())
    given = [str(rng.choice(CONFUSED[label])) if i in wrong else label for i, label in enumerate(labels)]
    shown = [*range(lesions), *sorted(rng.choice(lesions, count - lesions, replace=False).tolist())]
    defects = ["wrong_label" if i in wrong else "" for i in shown]
    return [Item(n, i, labels[i], given[i], defect) for n, (i, defect) in enumerate(zip(shown, defects, strict=True))]


def _copies(rng: np.random.Generator, photographs: Sequence[Item], count: int) -> list[Item]:
    """Copy rightly labelled photographs: every kind equally often, some into the folder of another diagnosis."""
    sources = [item for item in photographs if not item.defect]
    kinds = [kind for _ in range(-(-count // len(copies.KINDS))) for kind in copies.KINDS][:count]
    across = set(rng.choice(count, max(round(ACROSS_SHARE * count), 1), replace=False).tolist())
    copied = []
    for i, (kind, j) in enumerate(zip(kinds, rng.integers(0, len(sources), count), strict=True)):
        source = sources[j]
        given = str(rng.choice(CONFUSED[source.true_label])) if i in across else source.true_label
        copied.append(Item(len(photographs) + i, source.lesion, source.true_label, given, kind, source.number))
    return copied


def _strays(rng: np.random.Generator, count: int, *, first: int) -> list[Item]:
    """Put images of other things and broken files into the folders."""
    defects = ["off_topic"] * count + list(BROKEN)
    folders = rng.choice(list(SHARES), len(defects), p=list(SHARES.values()))
    return [Item(first + i, -1, "", str(f), d) for i, (f, d) in enumerate(zip(folders, defects, strict=True))]


def _named(rng: np.random.Generator, items: Sequence[Item]) -> list[Item]:
    """Number the files as a scraper does, with gaps, in an order that gives nothing away; sorted by path."""
    numbers = rng.choice(np.arange(100, 100 + 3 * len(items)), len(items), replace=False)
    endings = np.where(rng.random(len(items)) < PNG_SHARE, "png", "jpg")
    named = []
    for item, number, ending in zip(items, numbers, endings, strict=True):
        # A copy is encoded as JPEG anew, but for one of bytes; a broken file claims to be a JPEG.
        kept = {"copy_bytes": endings[item.original], "": ending, "wrong_label": ending, "off_topic": ending}
        named.append(replace(item, path=f"{item.given_label}/{number}.{kept.get(item.defect, 'jpg')}"))
    return sorted(named, key=lambda item: item.path)
