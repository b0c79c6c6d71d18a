from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.core.taxonomy import canonical
from pipeline.stages.ingest.labels import diagnose, named_taxonomy, read_taxonomy
from pipeline.stages.ingest.rows import Entry, Listing, Locator

TAXONOMIES = Path(__file__).parents[3] / "taxonomies"


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


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_taxonomy_maps_every_spelling_of_a_raw_label(tmp_path: Path) -> None:
    mapping = read_taxonomy(write(tmp_path / "t.csv", "# ours\nraw,diagnosis\nBasal cell carcinoma, bcc_\n"))
    assert canonical("BASAL_CELL carcinoma", mapping) == "bcc_"
    assert canonical("basal", mapping) is None


def test_a_label_that_looks_like_a_missing_value_is_a_label(tmp_path: Path) -> None:
    assert read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nNA,nevus_atypical\n")) == {"na": "nevus_atypical"}


def test_a_raw_label_may_be_listed_twice_but_not_mean_two_things(tmp_path: Path) -> None:
    assert read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmel,melanoma\nMEL,melanoma\n"))
    with pytest.raises(UserError, match=r"t\.csv maps 'MEL' to two diagnoses"):
        read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmel,melanoma\nMEL,nevus\n"))


def test_a_raw_label_without_a_diagnosis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.csv: row 1 holds \['mel', ''\]"):
        read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmel, \n"))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.csv lacks the columns raw: it has label, diagnosis"):
        read_taxonomy(write(tmp_path / "t.csv", "label;diagnosis\nmel;melanoma\n"))


def test_a_label_with_a_comma_needs_quotes(tmp_path: Path) -> None:
    assert read_taxonomy(write(tmp_path / "t.csv", 'raw,diagnosis\n"melanoma, nos",melanoma\n')) == {
        "melanoma, nos": "melanoma"
    }
    with pytest.raises(UserError, match="in quotes if it holds a comma"):
        read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmelanoma, nos,melanoma\n"))


@pytest.mark.parametrize("content", [b"", b"# only words", b"raw,diagnosis\n\0,b\n", b'raw,diagnosis\n"a,b\n'])
def test_a_file_that_is_no_table_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.csv is not a readable table"):
        read_taxonomy(tmp_path / "odd.csv")


@pytest.mark.parametrize("other", ["Basal cell carcinoma", "basal_cell_carcinoma ", "basal\u00a0cell  carcinoma"])
def test_two_spellings_of_one_diagnosis_are_an_error(other: str, tmp_path: Path) -> None:
    rows = f"raw,diagnosis\nbcc,basal_cell_carcinoma\nbasalioma,{other}\n"
    if other.strip() == "basal_cell_carcinoma":
        assert set(read_taxonomy(write(tmp_path / "t.csv", rows)).values()) == {"basal_cell_carcinoma"}
        return
    with pytest.raises(UserError, match=r"t\.csv spells one diagnosis 'basal_cell_carcinoma' and"):
        read_taxonomy(write(tmp_path / "t.csv", rows))


def test_a_taxonomy_may_be_saved_by_excel(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("sep=;\r\nraw;diagnosis;\r\nNävus;nevus;\r\n".encode("cp1252"))
    assert read_taxonomy(tmp_path / "t.csv") == {"nävus": "nevus"}


def test_one_diagnosis_for_all_is_said_in_words() -> None:
    assert diagnose(listing(("a",), ("A",)), None).notes == ("all 2 images have one diagnosis, a",)
    assert diagnose(listing(("a",), ("b",)), None).notes == ()
