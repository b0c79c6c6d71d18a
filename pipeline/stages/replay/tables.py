"""What `replay` yields, for all arms."""

from __future__ import annotations

from pipeline.core.grouping import SPLITS
from pipeline.core.table import Table, text
from pipeline.ledger.decisions import IMAGE_VERDICTS


class Decisions(Table):
    """The decision in force on an image; one without a row has none."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("verdict", "the label stands, is another, the image leaves, or nobody can tell", choices=IMAGE_VERDICTS),
        text("to", "the right diagnosis, of a `relabel`", nullable=True),
        text("steward", "who decided"),
    )


class ReviewedGroups(Table):
    """Groups as the stewards' pair verdicts leave them; split and group hold in every arm."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("duplicate_of", "the kept image, by a `copy` edge that holds or a declared copy", nullable=True),
        text("group_id", "smallest image_id of the component over patient, lesion and edges that hold"),
        text("split", "one a group, never less protected than in Groups", choices=SPLITS),
    )
