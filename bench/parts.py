"""Which lesions methods and constants are chosen on, and which are reported: a name's hash alone says it.

So no figure is of a lesion that anything was chosen on, whoever draws the parts again.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from pipeline.core.grouping import hashed_share

CHOICES_SHARE = 1 / 3
CHOICES, REPORT = "choices", "report"
ALL = "all"  # every image, of both parts


def part_of(name: str) -> str:
    """Say what a lesion or an image is for, by a hash of its name."""
    return CHOICES if hashed_share(name) < CHOICES_SHARE else REPORT


def named(batches: Iterable[str], lesions: str) -> str:
    """Name what is read, for a section of results."""
    return " ".join([*batches, *([] if lesions == ALL else [lesions])])


def take_part(images: pd.DataFrame, part: str) -> pd.DataFrame:
    """Take a part of the table Images: of each of its lesions the first image by name; all rows where part is `ALL`.

    An image of which no lesion is known is one of its own.
    """
    if part == ALL:
        return images
    ordered = images.sort_values("image_id")
    lesion = ordered["lesion_id"].fillna(ordered["image_id"])
    name = lesion.str.partition(":")[2]  # without the batch, which may be called anything
    return ordered[~lesion.duplicated() & (name.map(part_of) == part)]
