from __future__ import annotations

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger.notes import find_personal, refuse_personal


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("seen with Mrs. Miller", "a name"),
        ("Herr Müller, back", "a name"),
        ("patient Smith says so", "a name"),
        ("as Anna Schmidt told", "a name"),
        ("Schmidt, Anna", "a name"),
        ("dr. House agrees", "a name"),
        ("of 12.03.1961", "a date"),
        ("3/12/61", "a date"),
        ("1961-03-12", "a date"),
        ("12 March 1961", "a date"),
        ("March 12, 1961", "a date"),
        ("born in the sixties", "a date of birth"),
        ("DOB unknown", "a date of birth"),
        ("MRN 12", "a hospital number"),
        ("see 123456789", "a hospital number"),
        ("see 123 456 789", "a hospital number"),
    ],
)
def test_what_tells_of_a_patient_is_named(reason: str, what: str) -> None:
    assert (find_personal(reason) or "").endswith(f"looks like {what}")
    with pytest.raises(UserError, match="git forgets nothing"):
        refuse_personal(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "blue-white veil, atypical network",
        "Spitz nevus, 5 mm, 3 colours",
        "copy of ISIC_0024306, the ruler is the same",
        "demo:0001234 shows the same lesion",
        "7-point checklist: 4",
        "p(error) 0.9731; dermoscopic structures of a seborrhoeic keratosis",
        "histopathology 2019",
        "",
    ],
)
def test_what_tells_of_a_lesion_passes(reason: str) -> None:
    assert find_personal(reason) is None
