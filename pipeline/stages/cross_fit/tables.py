"""What `cross_fit` yields."""

from __future__ import annotations

from pipeline.core.table import Table, text, vector


class OutOfFold(Table):
    """What fine-tuned members make of every image in scope, none of which saw its group; no rows without a member.

    Train is judged out of fold within train; validation and test by the mean of all folds' networks.
    """

    key = ("image_id", "member")
    columns = (
        text("image_id", "of Images"),
        text("member", "its name in params.yaml"),
        vector("probabilities", "of each diagnosis in scope, sorted by name; rows sum to 1"),
    )
