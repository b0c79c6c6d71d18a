"""From raw labels to canonical diagnoses, by a table; what the table does not know is never guessed."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.core.errors import UserError

AS_GIVEN = "as_given"

Classes = Sequence[str] | str


def read_taxonomy(path: Path) -> dict[str, str]:
    """Read a taxonomy file: a CSV with the columns `raw` and `diagnosis`; `#` starts a comment line.

    Returns:
        canonical diagnosis by normalised raw label.

    Raises:
        UserError: it is no such table, a raw label has no diagnosis, or it stands for two.

    """
    mapping: dict[str, str] = {}
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if not line.startswith("#")]
        table = list(csv.reader(filter(str.strip, lines), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path.name} is not a readable CSV ({error}): save it as UTF-8 text") from error
    header = table[0] if table else []
    if header != ["raw", "diagnosis"]:
        raise UserError(f"{path.name} has the columns {header}: a taxonomy has raw and diagnosis, in this order")
    for row in table[1:]:
        if len(row) != len(header) or not row[1].strip():
            raise UserError(
                f"{path.name} holds {row}: give one raw label, in quotes if it holds a comma, and one diagnosis"
            )
        raw, diagnosis = row[0], row[1].strip()
        if mapping.setdefault(normalise(raw), diagnosis) != diagnosis:
            raise UserError(f"{path.name} maps {raw!r} to two diagnoses: keep one of the lines")
    return mapping


def canonical(raw: str, mapping: Mapping[str, str] | None) -> str | None:
    """Map a raw label to its diagnosis; None if the taxonomy does not know it.

    Args:
        raw: the label as the source gives it.
        mapping: from `read_taxonomy`, or None for `taxonomy: as_given` (only the spelling is tidied then).

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
