from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.stages.ingest.accounts import stop_if_too_many
from pipeline.stages.ingest.rows import Listing
from pipeline.stages.ingest.sources.readers import READERS
from tests.stages.ingest.foreign import xlsx
from tests.stages.ingest.layouts import HAM_HEADER, draw_ham10000, jpeg

COLUMNS = ["isic_id", "attribution", "copyright_license", "age_approx", "sex", "diagnosis_1", "lesion_id", "patient_id"]
ROW = ["ISIC_1", "Clinic", "CC-0", "50", "male", "Nevus", "IL_1", "IP_1"]


def read(folder: Path, **cells: str) -> Listing:
    """Read an ISIC folder of one image whose row holds these cells."""
    row = dict(zip(COLUMNS, ROW, strict=True)) | cells
    (folder / "ISIC_1.jpg").write_bytes(jpeg())
    (folder / "metadata.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row.values()) + "\n", "utf-8")
    return READERS["isic"](folder, licence="CC-BY-4.0", attribution="us")


@pytest.mark.parametrize("age", ["0", "55", "55.0", '"55,5"', "120", "60 years", "60 y"])
def test_an_age_is_a_number_of_years(age: str, tmp_path: Path) -> None:
    assert read(tmp_path, age_approx=age).entries[0].age == float(age.strip('"').replace(",", ".").split()[0])


@pytest.mark.parametrize(
    ("column", "value"),
    [("age_approx", value) for value in ("-1", "121", "999", "male", "inf", "1e2", "50-60", "IL_1")]
    + [("sex", value) for value in ("50", "Barcelona", "males", "IP_1", "CC-0")]
    + [("copyright_license", value) for value in ("Barcelona", "50", "male", "Clinic of Vienna", "IL_2", "CCity")]
    + [(column, '"two\nlines"') for column in ("lesion_id", "patient_id", "sex", "diagnosis_1", "isic_id")],
)
def test_a_value_that_its_column_cannot_hold_rejects_the_row(column: str, value: str, tmp_path: Path) -> None:
    listing = read(tmp_path, **{column: value})
    assert not listing.entries
    reasons = {reject.reason for reject in listing.rejects}
    assert reasons == ({"malformed_row", "metadata_missing"} if column == "isic_id" else {"implausible_value"})


@pytest.mark.parametrize(
    "sex", ["male", "Female", "M", "f", "Woman", "männlich", "homme", "other", "non-binary", "intersex"]
)
def test_every_usual_word_for_a_sex_is_one(sex: str, tmp_path: Path) -> None:
    assert read(tmp_path, sex=sex).entries[0].sex == sex


@pytest.mark.parametrize(
    "licence",
    [
        "CC-0",
        "CC-BY",
        "CC-BY-NC",
        "CC BY-NC-SA 4.0",
        "cc_by",
        "CC0-1.0",
        "Creative Commons Attribution",
        "Public Domain",
        "Apache-2.0",
        "All rights reserved",
        "https://creativecommons.org/licenses/by/4.0/",
        "ODbL-1.0",
        "Custom license",
    ],
)
def test_every_usual_name_of_a_licence_is_one(licence: str, tmp_path: Path) -> None:
    assert len(read(tmp_path, copyright_license=licence).entries) == 1


@pytest.mark.parametrize("position", range(1, 8))
@pytest.mark.parametrize("also", ["too long", "as long"])
def test_an_unquoted_comma_never_shifts_a_value(position: int, also: str, tmp_path: Path) -> None:
    """With the last cell lost as well, the row is as long as the header, and its values tell."""
    cells = [*ROW]
    cells[position] = f"{cells[position]}, Barcelona"
    line = ",".join(cells)
    (tmp_path / "ISIC_1.jpg").write_bytes(jpeg())
    shown = line if also == "too long" else line.rsplit(",", 1)[0]
    (tmp_path / "metadata.csv").write_text(",".join(COLUMNS) + "\n" + shown + "\n", "utf-8")
    listing = READERS["isic"](tmp_path, licence="CC-BY-4.0", attribution="us")
    if also == "too long" or position < 4:
        assert not listing.entries
        assert {reject.reason for reject in listing.rejects} <= {
            "malformed_row",
            "metadata_missing",
            "implausible_value",
        }
    else:  # of the last columns any text may be a value: a diagnosis that no taxonomy knows, a patient named Barcelona
        assert listing.raw_rows == 1


@pytest.mark.parametrize("value", ["NA", "None", "-", "not available"])
def test_a_placeholder_is_no_lesion_no_patient_and_no_label(value: str, tmp_path: Path) -> None:
    (entry,) = read(tmp_path, lesion_id=value, patient_id=value, sex=value, age_approx=value, diagnosis_1=value).entries
    assert (entry.lesion_id, entry.patient_id, entry.sex, entry.age, entry.labels) == (None, None, None, None, ())


def test_a_folder_named_like_a_placeholder_is_a_class(tmp_path: Path) -> None:
    for name in ("NA", "None", "-", "unknown"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(jpeg())
    listing = READERS["folder"](tmp_path, licence="CC0-1.0", attribution="us")
    assert {entry.labels for entry in listing.entries} == {("NA",), ("None",), ("-",), ("unknown",)}


def test_columns_that_are_not_found_are_named(tmp_path: Path) -> None:
    (note,) = read(tmp_path).notes
    assert "label_evidence (looked for diagnosis_confirm_type)" in note
    assert "site (looked for anatom_site_general or anatom_site_1)" in note
    assert "sex" not in note


@pytest.mark.parametrize("columns", [("anatom_site_general",), ("anatom_site_1", "anatom_site_2", "anatom_site_3")])
def test_the_body_site_is_found_under_its_old_and_its_new_name(columns: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "ISIC_1.jpg").write_bytes(jpeg())
    cells = ["Head and neck", "Face", "Nose"][: len(columns)]
    text = ",".join([*COLUMNS, *columns]) + "\n" + ",".join([*ROW, *cells]) + "\n"
    (tmp_path / "metadata.csv").write_text(text, "utf-8")
    (entry,) = READERS["isic"](tmp_path, licence="CC-BY-4.0", attribution="us").entries
    assert entry.site == "Head and neck"


def test_metadata_may_be_a_workbook(tmp_path: Path) -> None:
    (tmp_path / "ISIC_1.jpg").write_bytes(jpeg())
    (tmp_path / "metadata.xlsx").write_bytes(xlsx([COLUMNS, ROW]))
    (entry,) = READERS["isic"](tmp_path, licence="CC-BY-4.0", attribution="us").entries
    assert (entry.age, entry.lesion_id) == (50.0, "IL_1")


def test_ham10000s_rows_are_checked_likewise(tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    draw_ham10000(batch)
    rows = [f"HAM_1,ISIC_002430{i},nv,histo,{age},male,back" for i, age in enumerate(["50", "500", "NA", "50,5"])]
    (batch / "HAM10000_metadata").write_text(HAM_HEADER + "\n".join(rows), "utf-8")
    listing = READERS["ham10000"](batch, licence="CC-BY-4.0", attribution="us")
    assert [(entry.source_id, entry.age) for entry in listing.entries] == [
        ("ISIC_0024300", 50.0),
        ("ISIC_0024302", None),
    ]
    assert {reject.source_id: reject.reason for reject in listing.rejects} == {
        "ISIC_0024301": "implausible_value",
        "row 4": "malformed_row",
        "ISIC_0024303": "metadata_missing",
    }


def test_a_batch_that_is_stopped_says_what_its_rows_hold(tmp_path: Path) -> None:
    listing = read(tmp_path, sex="2")
    with pytest.raises(UserError, match=r"1 implausible_value \(metadata row 1: sex is '2': is the row shifted\?\)"):
        stop_if_too_many(listing.rejects, listing.raw_rows, batch="one", max_share=0.05)
