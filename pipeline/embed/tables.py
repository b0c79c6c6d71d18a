"""What `embed` yields."""

from __future__ import annotations

from pipeline.core.table import Table, text, vector


class Embeddings(Table):
    """One vector an image."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("encoder", "library, model, weights and precision: vectors of two encoders are never compared"),
        vector("vector", "unit norm"),
    )
