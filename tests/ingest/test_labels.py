from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.ingest.labels import diagnose, named_taxonomy
from pipeline.ingest.rows import Entry, Listing, Locator

TAXONOMIES = Path(__file__).parents[2] / "taxonomies"


def listing(*labels: tuple[str, ...]) -> Listing:
    entries = (
        Entry(source_id=str(i), locator=Locator(str(i)), labels=given, licence="CC0-1.0", attribution="us")
        for i, given in enumerate(labels)
    )
    return Listing(tuple(entries), (), 0)


def diagnosis(*labels: str, taxonomy: str = "lesions") -> str | None:
    found = diagnose(listing(labels), named_taxonomy(TAXONOMIES, taxonomy))
    return found.entries[0].diagnosis if found.entries else None


@pytest.mark.parametrize(
    ("raw", "diagnosis_"),
    [
        ("akiec", "actinic_keratosis"),
        ("bcc", "basal_cell_carcinoma"),
        ("bkl", "benign_keratosis"),
        ("df", "dermatofibroma"),
        ("mel", "melanoma"),
        ("nv", "nevus"),
        ("vasc", "vascular_lesion"),
    ],
)
def test_the_seven_codes_of_ham10000_are_known(raw: str, diagnosis_: str) -> None:
    assert diagnosis(raw) == diagnosis_


@pytest.mark.parametrize(
    "name",
    [
        "Acne vulgaris",
        "Actinic keratosis",
        "Atopic dermatitis",
        "Basal cell carcinoma",
        "Discoid eczema",
        "Hand dermatitis",
        "Hidradenitis suppurativa",
        "Lichen planus",
        "Melanocytic naevus",
        "Psoriasis",
        "Purpura",
        "Telangiectasia",
        "Melanoma",
        "melanocytic_nevus",
        "Benign keratosis",
        "Dermatofibroma",
        "Vascular lesion",
    ],
)
def test_common_folder_names_are_known(name: str) -> None:
    assert diagnosis(name)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("Nevus, NOS, Dermal", "Nevus", "Benign melanocytic proliferations", "Benign"), "nevus"),
        (("Melanoma, NOS", "Malignant melanocytic proliferations (Melanoma)", "Malignant"), "melanoma"),
        (("Basal cell carcinoma, Nodular", "Basal cell carcinoma", "Malignant"), "basal_cell_carcinoma"),
        (("Solar or actinic keratosis", "Indeterminate epidermal proliferations"), "actinic_keratosis"),
        (("Nevus sebaceus", "Benign adnexal epithelial proliferations - Sebaceous"), "nevus_sebaceus"),
        (("Benign",), None),
    ],
)
def test_the_most_specific_known_label_wins(labels: tuple[str, ...], expected: str | None) -> None:
    assert diagnosis(*labels) == expected


def test_an_unknown_label_is_rejected_with_its_raw_value() -> None:
    found = diagnose(listing(("misc",), ("Odd", "Benign"), (), ("  ",)), named_taxonomy(TAXONOMIES, "lesions"))
    assert [(reject.reason, reject.detail) for reject in found.rejects] == [
        ("unknown_label", "misc"),
        ("unknown_label", "Odd < Benign"),
        ("no_label", "the source gives none"),
        ("no_label", "the source gives none"),
    ]
    assert found.raw_rows == 4


def test_the_label_that_won_is_kept_as_it_was_spelt() -> None:
    (entry,) = diagnose(listing(("Nevus, odd", "NEVUS")), named_taxonomy(TAXONOMIES, "lesions")).entries
    assert (entry.raw_label, entry.diagnosis) == ("NEVUS", "nevus")


def test_as_given_takes_labels_as_they_stand() -> None:
    assert diagnosis("Some New  Disease", taxonomy="as_given") == "some_new_disease"
    assert diagnosis(taxonomy="as_given") is None


def test_a_taxonomy_of_ones_own_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "clinic.csv").write_text("raw,diagnosis\nMM,melanoma\n", "utf-8")
    assert named_taxonomy(tmp_path, "clinic") == {"mm": "melanoma"}


@pytest.mark.parametrize("name", ["nowhere", "../secret", ""])
def test_a_missing_taxonomy_is_answered_with_those_that_exist(name: str) -> None:
    with pytest.raises(UserError, match="name one of lesions, as_given"):
        named_taxonomy(TAXONOMIES, name)
