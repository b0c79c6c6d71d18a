from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.core.taxonomy import canonical, diagnoses_in_scope, normalise, read_taxonomy

DIAGNOSES = pd.Series(["nevus", "melanoma", "nevus", "scar"])


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_case_spacing_underscores_and_unicode_forms_do_not_matter() -> None:
    assert normalise("  Basal_Cell \u00a0CARCINOMA ") == "basal cell carcinoma"
    assert normalise("na\u0308vus") == normalise("n\u00e4vus")


def test_a_taxonomy_maps_every_spelling_of_a_raw_label(tmp_path: Path) -> None:
    mapping = read_taxonomy(write(tmp_path / "t.csv", "# ours\nraw,diagnosis\nBasal cell carcinoma, bcc_\n"))
    assert canonical("BASAL_CELL carcinoma", mapping) == "bcc_"
    assert canonical("basal", mapping) is None


def test_a_label_that_looks_like_a_missing_value_is_a_label(tmp_path: Path) -> None:
    assert read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nNA,nevus_atypical\n")) == {"na": "nevus_atypical"}


def test_as_given_only_tidies_the_spelling() -> None:
    assert canonical("  Lichen  Planus", None) == "lichen_planus"
    assert canonical("  ", None) is None


def test_a_raw_label_may_be_listed_twice_but_not_mean_two_things(tmp_path: Path) -> None:
    assert read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmel,melanoma\nMEL,melanoma\n"))
    with pytest.raises(UserError, match=r"t\.csv maps 'MEL' to two diagnoses"):
        read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmel,melanoma\nMEL,nevus\n"))


def test_a_raw_label_without_a_diagnosis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.csv holds \['mel', ' '\]"):
        read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmel, \n"))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a taxonomy has raw and diagnosis"):
        read_taxonomy(write(tmp_path / "t.csv", "label;diagnosis\nmel;melanoma\n"))


def test_a_label_with_a_comma_needs_quotes(tmp_path: Path) -> None:
    assert read_taxonomy(write(tmp_path / "t.csv", 'raw,diagnosis\n"melanoma, nos",melanoma\n')) == {
        "melanoma, nos": "melanoma"
    }
    with pytest.raises(UserError, match="in quotes if it holds a comma"):
        read_taxonomy(write(tmp_path / "t.csv", "raw,diagnosis\nmelanoma, nos,melanoma\n"))


@pytest.mark.parametrize("content", [b"", b"# only words", b"raw,diagnosis\n\xff,b\n", b'raw,diagnosis\n"a,b\n'])
def test_a_file_that_is_no_table_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"^odd\.csv (is not a readable CSV|has the columns)"):
        read_taxonomy(tmp_path / "odd.csv")


def test_classes_in_scope_are_sorted_and_each_has_an_image() -> None:
    assert diagnoses_in_scope(DIAGNOSES, "all") == ["melanoma", "nevus", "scar"]
    assert diagnoses_in_scope(DIAGNOSES, ["scar", "nevus"]) == ["nevus", "scar"]
    with pytest.raises(UserError, match=r"classes names \['wart'\]"):
        diagnoses_in_scope(DIAGNOSES, ["nevus", "wart"])
