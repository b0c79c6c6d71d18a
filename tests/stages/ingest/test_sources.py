from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Entry, Listing, Locator, RejectedError
from pipeline.stages.ingest.sources.files import RawReader
from pipeline.stages.ingest.sources.readers import READERS
from tests.stages.ingest.foreign import zip_of
from tests.stages.ingest.layouts import HAM_HEADER, ISIC_HEADER, draw_folder, draw_ham10000, draw_isic, jpeg, write_zip


def read(source: str, folder: Path) -> Listing:
    return READERS[source](folder, licence="CC-BY-4.0", attribution="us")


def by_id(listing: Listing) -> dict[str, Entry]:
    return {entry.source_id: entry for entry in listing.entries}


def reasons(listing: Listing) -> dict[str, str]:
    """Reasons by id; every reject must have an id of its own."""
    found = {reject.source_id: str(reject.reason) for reject in listing.rejects}
    assert len(found) == len(listing.rejects)
    return found


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_ham10000_is_read_from_its_zips(tmp_path: Path) -> None:
    draw_ham10000(tmp_path / "batch")
    listing = read("ham10000", tmp_path / "batch")
    entries = by_id(listing)
    assert (len(entries), listing.rejects, listing.ignored_files) == (4, (), 1)
    first, third = entries["ISIC_0024300"], entries["ISIC_0024302"]
    assert (first.labels, first.lesion_id, first.age, first.sex, first.site) == (
        ("bkl",),
        "HAM_0000001",
        80.0,
        "male",
        "scalp",
    )
    assert (third.age, third.sex, third.site) == (None, None, None)
    assert (first.label_evidence, third.label_evidence) == ("histopathology", "follow-up")
    with RawReader(tmp_path / "batch", max_bytes=10**6) as reader:
        assert [reader.read(entries[f"ISIC_002430{i}"].locator) for i in range(4)] == [jpeg(i) for i in range(4)]


def test_ham10000s_table_may_come_as_dataverse_converts_it(tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    draw_ham10000(batch)
    original = read("ham10000", batch)
    text = (batch / "HAM10000_metadata").read_text("utf-8").replace(",", "\t")
    (batch / "HAM10000_metadata").unlink()
    (batch / "HAM10000_metadata.tab").write_text(text, "utf-8-sig")
    assert read("ham10000", batch) == original


def test_rows_and_images_without_each_other_are_rejects(tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    draw_ham10000(batch)
    with zipfile.ZipFile(batch / "HAM10000_images_part_2.zip", "a") as archive:
        archive.writestr("ISIC_0099999.jpg", jpeg())
        archive.writestr("ISIC_0024300.jpg", jpeg())  # also in part 1
        archive.writestr("__MACOSX/._ISIC_0024300.jpg", b"")
    append(
        batch / "HAM10000_metadata",
        "HAM_9,ISIC_0088888,nv,histo,1,male,back",  # no image
        "HAM_1,ISIC_0024300,mel,histo,80,male,back",  # again
        "HAM_1,ISIC_0024300,mel,histo,80,male,back",  # and again
        "HAM_9,,nv,histo,1,male,back",
    )
    listing = read("ham10000", batch)
    assert by_id(listing)["ISIC_0024300"].labels == ("bkl",)
    assert reasons(listing) == {
        "ISIC_0088888": "image_missing",
        "row 8": "image_missing",
        "ISIC_0024300#2": "repeated_id",
        "ISIC_0024300#3": "repeated_id",
        "ISIC_0024300#4": "repeated_id",
        "ISIC_0099999": "metadata_missing",
    }
    assert listing.raw_rows == 4 + 6
    assert listing.ignored_files == 2


@pytest.mark.parametrize("name", ["HAM10000_images_part_2.zip", "HAM10000_metadata"])
def test_a_missing_archive_of_ham10000_is_named(name: str, tmp_path: Path) -> None:
    draw_ham10000(tmp_path / "batch")
    (tmp_path / "batch" / name).unlink()
    with pytest.raises(UserError, match=f"lacks {name}: run"):
        read("ham10000", tmp_path / "batch")


def test_a_damaged_archive_of_ham10000_is_named(tmp_path: Path) -> None:
    draw_ham10000(tmp_path / "batch")
    (tmp_path / "batch/HAM10000_images_part_1.zip").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"HAM10000_images_part_1\.zip in .* is not a readable zip"):
        read("ham10000", tmp_path / "batch")


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    draw_ham10000(tmp_path / "batch")
    (tmp_path / "batch/HAM10000_metadata").write_text(HAM_HEADER.replace("dx,", "label,"), "utf-8")
    with pytest.raises(UserError, match="lacks the columns dx:"):
        read("ham10000", tmp_path / "batch")


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    draw_isic(tmp_path / "batch")
    (tmp_path / "batch/metadata.csv").write_bytes(b"isic_id\n\xff\xfe\x00")
    with pytest.raises(UserError, match=r"metadata\.csv is not a readable table"):
        read("isic", tmp_path / "batch")


def test_isic_is_read_with_the_rights_of_each_image(tmp_path: Path) -> None:
    draw_isic(tmp_path / "batch")
    listing = read("isic", tmp_path / "batch")
    entries = by_id(listing)
    assert (len(entries), listing.rejects, listing.ignored_files) == (3, (), 3)
    assert [entries[f"ISIC_000000{i}"].licence for i in range(3)] == ["CC-BY-NC-4.0", "CC0-1.0", "CC-BY-4.0"]
    first, second, third = (entries[f"ISIC_000000{i}"] for i in range(3))
    assert (first.attribution, second.attribution) == ("A Hospital, Vienna", "Anonymous")
    assert first.labels == ("Nevus, NOS, Dermal", "Nevus", "Benign melanocytic proliferations", "Benign")
    assert (first.lesion_id, first.patient_id, first.skin_tone, first.site) == ("IL_1", "IP_1", "II", "anterior torso")
    assert (third.lesion_id, third.patient_id, third.age) == (None, None, 85.0)
    evidence = [entry.label_evidence for entry in (first, second, third)]
    assert evidence == ["histopathology", "consensus", "follow-up"]


def test_isics_older_column_of_diagnoses_is_read(tmp_path: Path) -> None:
    (tmp_path / "ISIC_0000000.jpg").write_bytes(jpeg())
    (tmp_path / "ISIC_0000001.jpg").write_bytes(jpeg())
    rows = "isic_id,diagnosis,benign_malignant\nISIC_0000000,seborrheic keratosis,benign\nISIC_0000001,,benign\n"
    (tmp_path / "metadata.csv").write_text(rows, "utf-8")
    entries = by_id(read("isic", tmp_path))
    assert [entries[f"ISIC_000000{i}"].labels for i in (0, 1)] == [("seborrheic keratosis",), ()]
    assert (entries["ISIC_0000000"].licence, entries["ISIC_0000000"].attribution) == ("CC-BY-4.0", "us")


def test_isic_accounts_for_rows_and_images_without_each_other(tmp_path: Path) -> None:
    draw_isic(tmp_path / "batch")
    (tmp_path / "batch/ISIC_0000000.jpg").rename(tmp_path / "batch/ISIC_7777777.jpg")
    assert reasons(read("isic", tmp_path / "batch")) == {
        "ISIC_0000000": "image_missing",
        "ISIC_7777777": "metadata_missing",
    }


def test_isic_without_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks metadata\.csv"):
        read("isic", tmp_path)
    (tmp_path / "metadata.csv").write_text(ISIC_HEADER.replace("isic_id", "id"), "utf-8")
    with pytest.raises(UserError, match="lacks the columns isic_id"):
        read("isic", tmp_path)


def test_the_label_of_a_file_is_the_name_of_its_folder(tmp_path: Path) -> None:
    draw_folder(tmp_path / "batch")
    (tmp_path / "batch/loose.jpg").write_bytes(jpeg())
    listing = read("folder", tmp_path / "batch")
    assert {entry.source_id: entry.labels for entry in listing.entries} == {
        "Melanoma/1.jpg": ("Melanoma",),
        "Melanoma/2.jpg": ("Melanoma",),
        "train/Melanocytic nevus/1.jpg": ("Melanocytic nevus",),
        "loose.jpg": (),
    }
    assert listing.ignored_files == 2


def test_a_zip_of_folders_is_a_folder(tmp_path: Path) -> None:
    members = {"./set/Melanoma/1.jpg": jpeg(1), "set\\Psoriasis\\2.jpg": jpeg(2), "3.jpg": jpeg(3), "set/.hidden": b""}
    write_zip(tmp_path / "Acne.zip", members)
    listing = read("folder", tmp_path)
    assert {entry.source_id: entry.labels for entry in listing.entries} == {
        "Acne.zip/set/Melanoma/1.jpg": ("Melanoma",),
        "Acne.zip/set/Psoriasis/2.jpg": ("Psoriasis",),
        "Acne.zip/3.jpg": ("Acne",),
    }
    assert listing.ignored_files == 1
    with RawReader(tmp_path, max_bytes=10**6) as reader:
        assert [reader.read(entry.locator) for entry in listing.entries] == [jpeg(1), jpeg(2), jpeg(3)]


def test_a_zip_whose_directory_is_damaged_is_a_reject_and_the_others_are_read(tmp_path: Path) -> None:
    for name in ("Acne.zip", "Nevi.zip", "Tinea.zip"):
        write_zip(tmp_path / name, {"1.jpg": jpeg()})
    for name, signature in (("Nevi.zip", b"PK\x01\x02"), ("Tinea.zip", b"PK\x05\x06")):
        content = bytearray((tmp_path / name).read_bytes())
        content[content.index(signature) + (0 if name == "Nevi.zip" else 12)] ^= 255
        (tmp_path / name).write_bytes(content)
    listing = read("folder", tmp_path)
    assert [entry.source_id for entry in listing.entries] == ["Acne.zip/1.jpg"]
    assert reasons(listing) == {"Nevi.zip": "undecodable", "Tinea.zip": "undecodable"}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_that_a_zip_holds_twice_is_read_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for seed in (1, 2):
            archive.writestr("Melanoma/1.jpg", jpeg(seed))
    listing = read("folder", tmp_path)
    assert reasons(listing) == {"set.zip/Melanoma/1.jpg#2": "repeated_id"}
    with RawReader(tmp_path, max_bytes=10**6) as reader:
        assert reader.read(listing.entries[0].locator) == jpeg(1)


def test_a_file_name_that_is_no_unicode_is_spelt_out(tmp_path: Path) -> None:
    (tmp_path / "Melanoma").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/Melanoma/\xe9.jpg")).write_bytes(jpeg())
    (entry,) = read("folder", tmp_path).entries
    assert entry.source_id == "Melanoma/\\xe9.jpg"
    with RawReader(tmp_path, max_bytes=10**6) as reader:
        assert reader.read(entry.locator) == jpeg()


def rejection(folder: Path, locator: Locator, *, max_bytes: int = 10**6) -> str:
    with RawReader(folder, max_bytes=max_bytes) as reader, pytest.raises(RejectedError) as error:
        reader.read(locator)
    assert "secret" not in error.value.detail
    return error.value.reason


def test_links_that_lead_nowhere_or_round_in_a_circle_are_rejects(tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    (batch / "Melanoma").mkdir(parents=True)
    (batch / "Melanoma/broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (batch / "Melanoma/round").symlink_to(batch)
    listing = read("folder", batch)
    assert [entry.source_id for entry in listing.entries] == ["Melanoma/broken.jpg"]
    assert rejection(batch, listing.entries[0].locator) == "image_missing"
    assert reasons(listing) == {"Melanoma/round": "image_missing"}


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    write_zip(tmp_path / "a.zip", {"a.jpg": b"\0" * 10_000})
    assert rejection(tmp_path, Locator("a.jpg"), max_bytes=100) == "too_large"
    assert rejection(tmp_path, Locator("a.zip", 0), max_bytes=9_999) == "too_large"


def test_a_damaged_member_is_a_reject_that_does_not_quote_its_name(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"secret.jpg": jpeg()})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[100] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    assert rejection(tmp_path, Locator("a.zip", 0)) == "undecodable"


def test_an_encrypted_member_is_a_reject(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"secret.jpg": jpeg()})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for signature, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flag] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert rejection(tmp_path, Locator("a.zip", 0)) == "undecodable"


@pytest.mark.parametrize(
    "names",
    [
        ["nevus/images/1.jpg", "melanoma/images/1.jpg"],
        ["nevus/IMG_2/1.jpg", "nevus/IMG_3/1.jpg"],
        ["nevus/train/1.jpg", "nevus/test/1.jpg"],
    ],
)
def test_folders_whose_names_are_no_diagnoses_are_said_in_words(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    (note,) = read("folder", tmp_path).notes
    assert "are taken for diagnoses; the label is the name of the folder that holds an image" in note
    assert all(repr(Path(name).parent.name) in note for name in names)


@pytest.mark.parametrize("name", [".jpg", ".5cm mole.jpg", "._x.jpg", ".nevus/1.jpg", "nevus/.1", ".a/.b.png"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_picture_whose_name_or_folder_begins_with_a_dot_is_a_picture(
    name: str,
    zipped: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    if zipped:
        write_zip(tmp_path / "set.zip", {name: jpeg()})
    else:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    listing = read("folder", tmp_path)
    assert ([entry.source_id.removeprefix("set.zip/") for entry in listing.entries], listing.ignored_files) == (
        [name],
        0,
    )


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._1.jpg", "__MACOSX/1.jpg", ".git/x.jpg", ".hidden", "Thumbs.db", ".Trash-0/1.jpg", "a/.gitkeep"],
)
def test_what_an_operating_system_left_is_ignored_and_counted(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\0\x05\x16\x07\0\2\0\0" if name.startswith("._") else b"words")
    listing = read("folder", tmp_path)
    assert (listing.raw_rows, listing.ignored_files) == (0, 1)


def test_a_linked_class_folder_is_a_class_and_its_files_are_read(tmp_path: Path) -> None:
    elsewhere, batch = tmp_path / "elsewhere", tmp_path / "batch"
    (elsewhere / "deep").mkdir(parents=True)
    batch.mkdir()
    for i, name in enumerate(["1.jpg", "2.jpg", "deep/3.jpg"]):
        (elsewhere / name).write_bytes(jpeg(i))
    (batch / "nevus").symlink_to(elsewhere)
    listing = read("folder", batch)
    assert {entry.source_id: entry.labels[0] for entry in listing.entries} == {
        "nevus/1.jpg": "nevus",
        "nevus/2.jpg": "nevus",
        "nevus/deep/3.jpg": "deep",
    }
    with RawReader(batch, max_bytes=10**6) as reader:
        assert reader.read(by_id(listing)["nevus/2.jpg"].locator) == jpeg(1)


def test_a_second_link_to_a_folder_is_one_reject_that_says_how_many_files_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "batch/nevus").mkdir(parents=True)
    for i in range(3):
        (tmp_path / f"batch/nevus/{i}.jpg").write_bytes(jpeg(i))
    (tmp_path / "batch/mole").symlink_to(tmp_path / "batch/nevus")
    listing = read("folder", tmp_path / "batch")
    assert len(listing.entries) == 3
    assert [reject.detail for reject in listing.rejects] == [
        "a link to a folder that is read elsewhere: its 3 files are not read twice"
    ]


def test_no_note_quotes_the_name_of_a_file_which_may_identify_a_patient(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("secret.jpg", "secret_mask.png", "secret.json"):
        (tmp_path / "images" / name).write_bytes(jpeg())
    content = zip_of({"Nävus/secret.jpg": jpeg()}, encoding="cp1252")
    for name in ("secret 1.zip", "secret 2.zip"):
        (tmp_path / "images" / name).write_bytes(content)
    notes = read("folder", tmp_path).notes
    assert len(notes) == 3
    assert "secret" not in " ".join(notes)
