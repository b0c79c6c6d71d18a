"""What `opinions` yields."""

from __future__ import annotations

from pipeline.core.table import Table, integers, text, texts, vector


class Opinions(Table):
    """One description an image by every further network; no rows where params name none."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        texts("networks", "backbone, weights and side of each: descriptions by two networks are never compared"),
        integers("widths", "how many numbers of the description are each network's"),
        vector(
            "description",
            "of each network in turn: pooled features of its last level, then mean and spread of each channel two "
            "levels up",
        ),
    )
