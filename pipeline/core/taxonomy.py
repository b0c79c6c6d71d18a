"""From raw labels to canonical diagnoses, by a table; what the table does not know is never guessed."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.core.errors import UserError

AS_GIVEN = "as_given"

Classes = Sequence[str] | str


def canonical(raw: str, mapping: Mapping[str, str] | None) -> str | None:
    """Map a raw label to its diagnosis; None if the taxonomy does not know it.

    Args:
        raw: the label as the source gives it.
        mapping: from `ingest.labels.read_taxonomy`, or None for `taxonomy: as_given`: only the spelling is tidied.

    """
    if mapping is None:
        return normalise(raw).replace(" ", "_") or None
    return mapping.get(normalise(raw))


def normalise(raw: str) -> str:
    """Fold case, spacing, underscores and Unicode forms: `Basal_Cell  Carcinoma` meets `basal cell carcinoma`."""
    return " ".join(unicodedata.normalize("NFKC", raw).casefold().replace("_", " ").split())


def diagnoses_in_scope(diagnoses: pd.Series[str], classes: Classes) -> list[str]:
    """List the diagnoses that a build distinguishes, sorted: the order of every probability vector.

    Args:
        diagnoses: the column Images.diagnosis.
        classes: `all`, or the diagnoses that a profile names.

    Raises:
        UserError: a class of the profile has no image.

    """
    present = set(diagnoses.unique())
    if classes == "all":
        return sorted(present)
    unknown = set(classes) - present
    if unknown:
        raise UserError(f"classes names {sorted(unknown)}, which no image has: choose among {sorted(present)}")
    return sorted(classes)
