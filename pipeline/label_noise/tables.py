"""What `label_noise` yields."""

from __future__ import annotations

from pipeline.core.table import Table, flag, number, text, texts, vector


class LabelScores(Table):
    """For every image in scope, how likely its label is wrong, judged by models that never saw it or its group."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("given", "diagnosis as ingested"),
        text("suggested", "the most probable diagnosis"),
        number("self_confidence", "cleanlab's: probability of the given diagnosis, 0 to 1"),
        number("normalized_margin", "cleanlab's: given minus best other, scaled to 0 to 1"),
        number("error_probability", "that the given diagnosis is wrong, by the method in params, 0 to 1"),
        flag("suspect", "error_probability at or above the threshold, or a label conflict among copies"),
        text("reason", "why, in words"),
        number("off_topic", "how far from every diagnosis, 0 (typical) to 1"),
        number("ambiguous", "how far two diagnoses are both plausible, 0 to 1"),
        texts("nearest_given", "image_ids of the nearest train examples of the given diagnosis, in other groups"),
        texts(
            "nearest_suggested", "image_ids of the nearest train examples of the suggested diagnosis, in other groups"
        ),
        vector("probabilities", "of each diagnosis in scope, sorted by name; rows sum to 1"),
    )
