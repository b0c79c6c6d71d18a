"""What `rebalance` yields, for each arm."""

from __future__ import annotations

from pipeline.core.grouping import SPLITS
from pipeline.core.table import Table, number, text, vector

BASE_ARM = "raw"  # what every other arm is compared with
HEADLINE_ARM = "curated"  # the product: all that is automatic, and the stewards' decisions
REASONS = ("out_of_scope", "duplicate", "off_topic", "label_policy", "steward", "random_control")


class Selection(Table):
    """The images of an arm; validation and test are those of the curated dataset in every arm."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("split", "one a group", choices=SPLITS),
        text("group_id", "resampling unit of the bootstrap"),
        text("given", "diagnosis as ingested"),
        text("diagnosis", "after the stewards' decisions, and the arm's policy, where the arm applies them"),
        number("weight", "of the image in the training loss: mean 1 over an epoch; 1 in validation and test"),
        number("draws", "how often the image comes in an epoch, on average; 1 in validation and test"),
        vector(
            "target",
            "how far the image counts as each diagnosis in scope, sorted by name; rows sum to 1. All of it is that of "
            "`diagnosis`, but for train labels that the arm shares out",
        ),
    )


class Exclusions(Table):
    """The images left out of an arm, with the reason."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("reason", "why", choices=REASONS),
        text("detail", "whose copy, which score, whose decision"),
    )
