from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from pipeline.stages.ingest.rows import Listing, RejectedError
from pipeline.stages.ingest.sources.archives import guess_encoding
from pipeline.stages.ingest.sources.files import RawReader
from pipeline.stages.ingest.sources.folder import read as read_folder
from tests.stages.ingest.foreign import rar_of, seven_zip_of, tar_of, zip_of
from tests.stages.ingest.layouts import jpeg

NAMES = {
    "utf-8": ["Nävus", "Mélanome", "痣", "母斑"],
    "cp437": ["Nävus", "Mélanome", "Ekzem-Füße", "Señal"],
    "cp1252": ["Nävus", "Mélanome malin", "Ekzem-Füße", "Léntigo é outros"],
    "gbk": ["黑色素瘤", "痣", "湿疹", "银屑病", "基底细胞癌"],
    "cp932": ["メラノーマ", "母斑", "湿疹", "ほくろ", "基底細胞癌"],
}


def read(folder: Path) -> Listing:
    return read_folder(folder, licence="CC-BY-4.0", attribution="us")


def labels(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {entry.source_id: entry.labels for entry in listing.entries}


def contents(folder: Path, listing: Listing) -> dict[str, bytes]:
    with RawReader(folder, max_bytes=10**6) as reader:
        return {entry.source_id: reader.read(entry.locator) for entry in listing.entries}


@pytest.mark.parametrize("encoding", NAMES)
@pytest.mark.parametrize("alone", [False, True])
def test_names_in_a_zip_that_states_no_encoding_are_read_as_they_were_meant(
    encoding: str,
    alone: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    for number, chosen in enumerate([[name] for name in NAMES[encoding]] if alone else [NAMES[encoding]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        members = {f"{name}/{i}.jpg": jpeg(i) for i, name in enumerate(chosen)}
        (folder / "set.zip").write_bytes(zip_of(members, encoding=encoding))
        listing = read(folder)
        assert labels(listing) == {f"set.zip/{name}/{i}.jpg": (name,) for i, name in enumerate(chosen)}
        assert listing.notes[0].startswith("an archive does not say how its names are encoded: they are read as ")


def test_names_that_are_stated_are_not_guessed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    raw = "N\u00e4vus/1.jpg"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("痣/2.jpg", jpeg())
        info = zipfile.ZipInfo("N_vus/1.jpg")
        field = b"\1" + struct.pack("<I", zlib.crc32(b"N_vus/1.jpg")) + raw.encode()
        info.extra = struct.pack("<HH", 0x7075, len(field)) + field
        archive.writestr(info, jpeg())
    (tmp_path / "set.zip").write_bytes(buffer.getvalue())
    listing = read(tmp_path)
    assert (set(labels(listing).values()), listing.notes) == ({("痣",), ("Nävus",)}, ())


def test_ascii_names_need_no_encoding() -> None:
    assert guess_encoding([b"a/1.jpg", b"b/2.jpg"]) is None


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_a_folder(mode: str, tmp_path: Path) -> None:
    members = {"./set/Melanoma/1.jpg": jpeg(1), "Psoriasis/é.jpg": jpeg(2), "3.jpg": jpeg(3)}
    name = "Acne.tar" + {"w": "", "w:gz": ".gz", "w:bz2": ".bz2", "w:xz": ".xz"}[mode]
    (tmp_path / name).write_bytes(tar_of(members, mode))
    listing = read(tmp_path)
    assert labels(listing) == {
        f"{name}/set/Melanoma/1.jpg": ("Melanoma",),
        f"{name}/Psoriasis/é.jpg": ("Psoriasis",),
        f"{name}/3.jpg": ("Acne",),
    }
    assert list(contents(tmp_path, listing).values()) == [jpeg(2), jpeg(3), jpeg(1)] or len(listing.entries) == 3
    assert contents(tmp_path, listing)[f"{name}/3.jpg"] == jpeg(3)


def test_archives_within_archives_are_read(tmp_path: Path) -> None:
    inner = zip_of({"Melanoma/1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    middle = tar_of({"Nevus.zip": inner, "Scar/3.jpg": jpeg(3)}, "w:gz")
    (tmp_path / "all.zip").write_bytes(zip_of({"deep/middle.tgz": middle, "Wart/4.jpg": jpeg(4)}))
    listing = read(tmp_path)
    assert {name.rsplit("/", 1)[1]: found[0] for name, found in labels(listing).items()} == {
        "1.jpg": "Melanoma",
        "2.jpg": "Nevus",
        "3.jpg": "Scar",
        "4.jpg": "Wart",
    }
    read_back = {name.rsplit("/", 1)[1]: content for name, content in contents(tmp_path, listing).items()}
    assert read_back == {f"{i}.jpg": jpeg(i) for i in range(1, 5)}


def test_an_archive_that_holds_archives_without_end_is_given_up(tmp_path: Path) -> None:
    content = jpeg()
    for _ in range(6):
        content = zip_of({"again.zip": content, "a.jpg": jpeg()})
    (tmp_path / "set.zip").write_bytes(content)
    listing = read(tmp_path)
    assert len(listing.entries) == 4
    assert [(reject.reason, reject.detail) for reject in listing.rejects] == [
        ("unsupported_format", "an archive within 3 others, which is not read: unpack it")
    ]


@pytest.mark.parametrize("kind", ["7z", "rar"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_archive_that_is_not_read_loses_one_row_a_file(kind: str, nested: bool, tmp_path: Path) -> None:  # noqa: FBT001
    members = {f"Nävus/{i}.jpg": jpeg(i) for i in range(5)}
    content = rar_of(members) if kind == "rar" else seven_zip_of(members, tmp_path)
    name = f"set.{kind}"
    if nested:
        (tmp_path / "outer.zip").write_bytes(zip_of({f"x/{name}": content}))
    else:
        (tmp_path / name).write_bytes(content)
    listing = read(tmp_path)
    prefix = f"outer.zip/x/{name}" if nested else name
    assert not listing.entries
    assert {reject.source_id: reject.reason for reject in listing.rejects} == {
        f"{prefix}/{member}": "unsupported_format" for member in members
    }
    assert f"within a {kind} archive, which is not read: unpack it" in listing.rejects[0].detail


@pytest.mark.parametrize("suffix", [".zip", ".7z", ".rar", ".tar.gz"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_archive_cut_off_is_one_reject_that_says_what_is_lost(suffix: str, share: float, tmp_path: Path) -> None:
    members = {f"Nevus/{i}.jpg": jpeg(i) for i in range(7)}
    content = {
        ".zip": lambda: zip_of(members),
        ".7z": lambda: seven_zip_of(members, tmp_path),
        ".rar": lambda: rar_of(members),
        ".tar.gz": lambda: tar_of(members, "w:gz"),
    }[suffix]()
    (tmp_path / f"set{suffix}").write_bytes(content[: int(len(content) * share)])
    listing = read(tmp_path)
    assert listing.raw_rows >= 1
    if suffix == ".zip":
        (reject,) = listing.rejects
        lost = content[: int(len(content) * share)].count(b"PK\x03\x04")
        assert f"about {lost} files are lost with it" in reject.detail
    else:
        told = " ".join(reject.detail for reject in listing.rejects)
        assert "cannot be told" in told or len(listing.rejects) > 1


def test_a_damaged_archive_within_another_is_one_reject(tmp_path: Path) -> None:
    inner = zip_of({f"{i}.jpg": jpeg(i) for i in range(3)})[:-40]
    (tmp_path / "set.zip").write_bytes(zip_of({"Nevus/more.zip": inner, "Nevus/1.jpg": jpeg()}))
    listing = read(tmp_path)
    assert list(labels(listing)) == ["set.zip/Nevus/1.jpg"]
    assert [(reject.source_id, reject.reason) for reject in listing.rejects] == [
        ("set.zip/Nevus/more.zip", "undecodable")
    ]
    assert "about 3 files are lost with it" in listing.rejects[0].detail


def test_folders_of_a_zip_made_on_windows_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(zip_of({"Nevus\\": b"", "Nevus\\1.jpg": jpeg()}))
    assert labels(read(tmp_path)) == {"set.zip/Nevus/1.jpg": ("Nevus",)}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["Nevus/1.jpg", "Nevus/more.zip"], "Nevus"),  # pictures beside it: the folder is a class
        (["Nevus/part2.zip"], "Nevus"),  # a name that says nothing
        (["downloads/Nevus.zip"], "Nevus"),
        (["Nevus.zip"], "Nevus"),
        (["Nevus.tar.gz"], "Nevus"),
    ],
)
def test_what_lies_directly_in_an_archive_is_labelled_by_it_or_by_its_folder(
    files: list[str], expected: str, tmp_path: Path
) -> None:
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        packed = tar_of({"7.jpg": jpeg(7)}, "w:gz") if file.endswith(".gz") else zip_of({"7.jpg": jpeg(7)})
        path.write_bytes(jpeg() if file.endswith(".jpg") else packed)
    found = labels(read(tmp_path))
    assert {given[0] for given in found.values()} == {expected}
    assert len(found) == len(files)


def test_a_member_that_is_no_regular_file_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "Nevus.tar").write_bytes(tar_of({"1.jpg": jpeg()}))
    listing = read(tmp_path)
    with RawReader(tmp_path, max_bytes=10) as reader, pytest.raises(RejectedError) as error:
        reader.read(listing.entries[0].locator)
    assert error.value.reason == "too_large"
