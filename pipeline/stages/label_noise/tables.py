"""What `label_noise` yields."""

from __future__ import annotations

from pipeline.core.table import Table, flag, integer, number, text, texts, vector


class LabelScores(Table):
    """For every image in scope, how likely its label is wrong, by models that never saw it or its group."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("given", "diagnosis as ingested"),
        text("suggested", "the most probable diagnosis, the given label taken into account"),
        number("error_probability", "that the given diagnosis is wrong, by the method in params, 0 to 1"),
        flag(
            "suspect",
            "error_probability at or above the threshold, or copies disagree; another diagnosis is likelier",
        ),
        flag("ambiguous", "the same, but no other diagnosis is likelier than the given one"),
        text("reason", "what is given, what is suggested, why, and how sure that is"),
        number("off_topic", "probability that it shows no skin, judged beside train; labels have no part in it"),
        texts("nearest_given", "image_ids of the nearest train examples of the given diagnosis, in other groups"),
        texts(
            "nearest_suggested", "image_ids of the nearest train examples of the suggested diagnosis, in other groups"
        ),
        vector("probabilities", "of each diagnosis in scope, sorted by name, by what the image shows; rows sum to 1"),
        vector("posterior", "the same with the given labels taken into account; rows sum to 1"),
    )


class SuspectQueue(Table):
    """Labels in doubt in the order in which they are worth a person's time: by errors expected to be found in a minute.

    Suspects come first; behind them stand the ambiguous, for which there is no likelier diagnosis to suggest.
    """

    key = ("image_id",)
    columns = (
        text("image_id", "of LabelScores; no removed copy, and nothing that surely shows no skin"),
        integer("place", "1 is first; images of a lesion follow one another"),
        flag("ambiguous", "of the lesion: no image of it has another diagnosis to offer"),
        text("label_evidence", "how the given diagnosis was confirmed"),
        number("error_probability", "that of LabelScores, held against the evidence, 0 to 1"),
        number("errors_per_minute", "expected, of the whole lesion"),
        number("minutes_so_far", "that people need down to this lesion, by the times in params"),
        number("errors_so_far", "expected to be found down to here"),
        number("errors_left", "expected among all images after this one, suspects or not: when it is small, stop"),
    )


class OffTopicQueue(Table):
    """Images that may show no skin and that no policy leaves out: for a person to look at, the most probable first."""

    key = ("image_id",)
    columns = (
        text("image_id", "of LabelScores; no removed copy"),
        integer("place", "1 is first"),
        number("off_topic", "that of LabelScores"),
        number("off_topic_left", "images off topic expected among all after this one, queued or not: when small, stop"),
    )


class AuditSample(Table):
    """A random sample of all images, to say how many labels are wrong (`audit_sample.count_errors`)."""

    key = ("image_id",)
    columns = (
        text("image_id", "of LabelScores; no removed copy"),
        integer("place", "1 is first; any beginning of the sample is a sample"),
        integer("stratum", "by error_probability, 0 the least doubtful"),
        integer("stratum_images", "how many images the stratum holds, in the sample or not"),
    )
