"""What `opinions` yields."""

from __future__ import annotations

from pipeline.core.table import Table, text, vector


class Opinions(Table):
    """One description an image by the second network; no rows where params name none."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("network", "backbone, weights and side: descriptions by two networks are never compared"),
        vector("description", "pooled features of its last level, then mean and spread of each channel two levels up"),
    )
