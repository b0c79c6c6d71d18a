"""What `embed` yields."""

from __future__ import annotations

import pyarrow as pa

from pipeline.core.table import Table, integers, text, texts, vector


class Embeddings(Table):
    """One vector an image."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("encoder", "library, model, weights and precision: vectors of two encoders are never compared"),
        vector("vector", "unit norm"),
    )


class Levels(Table):
    """What the encoder's blocks make of every image on the way to its vector; no rows where params name none."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        texts("networks", "the encoder and the block of each level: descriptions by two are never compared"),
        integers("widths", "how many numbers of the description are each level's"),
        vector("description", "of each level in turn: its class token, then the mean patch token", of=pa.float16()),
    )
