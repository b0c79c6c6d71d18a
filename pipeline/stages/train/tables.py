"""What `train` yields, for each member, arm and seed."""

from __future__ import annotations

from pipeline.core.table import Table, text, vector


class Predictions(Table):
    """Probabilities on validation and test."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Selection"),
        text("split", "which part", choices=("validation", "test")),
        vector("probabilities", "of each diagnosis in scope, sorted by name; rows sum to 1"),
    )
