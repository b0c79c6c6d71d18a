"""The review queue: in which order labels are worth a person's time, and how many errors each point leaves behind.

    value of a lesion = Σ error probability of its images in doubt / minutes that it takes

People judge lesions: the first image of one takes longest, its others are decided in seconds. So lesions are sorted by
the errors that are expected to be found in a minute: first those with a suspect, which have another diagnosis to offer,
then the ambiguous. How a diagnosis was confirmed weighs in here and nowhere else: an
image hardly overrules histopathology, so such a label is the less likely to change however odd it looks. It is never
a feature of the classifiers, because it gives diagnoses away.

What surely shows no skin has no diagnosis to be wrong: it is left out, or stands in OffTopicQueue.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.params import Queue

SECONDS = 60  # a minute's


def rank_suspects(scores: pd.DataFrame, dataset: Dataset, params: Queue, *, sure_off_topic: float) -> pd.DataFrame:
    """Make the table SuspectQueue.

    Args:
        scores: the table LabelScores.
        dataset: its images, row by row.
        params: time and evidence.
        sure_off_topic: probability to show no skin from which nobody is asked for the diagnosis.

    """
    error = discount(scores["error_probability"].to_numpy(), dataset.evidence, params.evidence_odds)
    rows = pd.DataFrame(
        {
            "image_id": dataset.image_id,
            "lesion": dataset.lesion,
            "evidence": dataset.evidence,
            "error": error,
            "ambiguous": scores["ambiguous"].to_numpy(),
        }
    )
    asked = ~dataset.removed & (scores["off_topic"] < sure_off_topic).to_numpy()
    rows = rows[(scores["suspect"] | scores["ambiguous"]).to_numpy() & asked]
    rows["ambiguous"] = rows.groupby("lesion")["ambiguous"].transform("all")
    of_lesion = rows.groupby("lesion")["error"].agg(["sum", "size"])
    minutes = (params.first_image_seconds + params.next_image_seconds * (of_lesion["size"] - 1)) / SECONDS
    rows["minutes"] = rows["lesion"].map(minutes)
    rows["yield"] = rows["lesion"].map(of_lesion["sum"] / minutes)
    order = ["ambiguous", "yield", "lesion", "error", "image_id"]
    rows = rows.sort_values(order, ascending=[True, False, True, False, True])
    opens = ~rows["lesion"].duplicated()
    return pd.DataFrame(
        {
            "image_id": rows["image_id"],
            "place": np.arange(1, len(rows) + 1),
            "ambiguous": rows["ambiguous"],
            "label_evidence": rows["evidence"],
            "error_probability": rows["error"],
            "errors_per_minute": rows["yield"],
            "minutes_so_far": rows["minutes"].where(opens, 0.0).cumsum(),
            "errors_so_far": rows["error"].cumsum(),
            "errors_left": np.maximum(error[asked].sum() - rows["error"].cumsum(), 0.0),
        }
    )


def discount(
    error_probability: NDArray[np.float64], evidence: NDArray[np.str_], odds: dict[str, float]
) -> NDArray[np.float64]:
    """Multiply the odds of an error by what the evidence for the label says of them; 1 where it says nothing."""
    factor = pd.Series(evidence).map(odds).fillna(1.0).to_numpy(dtype=np.float64)
    scaled = error_probability * factor
    discounted: NDArray[np.float64] = scaled / np.maximum(scaled + 1 - error_probability, np.finfo(float).tiny)
    return discounted
