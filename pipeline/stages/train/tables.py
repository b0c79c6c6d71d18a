"""What `train` yields, for each member, arm and seed."""

from __future__ import annotations

from pipeline.core.grouping import SPLITS
from pipeline.core.table import Table, text, vector


class Predictions(Table):
    """Probabilities on validation and test, and of a member with folds on train: out of fold."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Selection"),
        text(
            "split",
            "which part; train only where `folds` is above 1, by the network that never saw the image's group",
            choices=SPLITS,
        ),
        vector("probabilities", "of each diagnosis in scope, sorted by name; rows sum to 1"),
    )
