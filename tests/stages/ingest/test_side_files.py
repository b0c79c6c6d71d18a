from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.stages.ingest.rows import Listing
from pipeline.stages.ingest.sources.files import RawReader
from pipeline.stages.ingest.sources.readers import READERS
from tests.stages.ingest.layouts import encoded, jpeg, picture

SIDE = {
    "{folder}/ISIC_1.png": "mask",
    "{folder}/ISIC_1.jpg": "mask as jpeg",
    "{folder}/ISIC_1.json": "text",
    "{folder}/ISIC_1_segmentation.png": "mask",
    "masks/ISIC_1.png": "mask",
    "thumbs/ISIC_1.jpg": "thumbnail",
    "{folder}/ISIC_1.JPG": "thumbnail",
    "ISIC_1.txt": "text",
}


def mask() -> Image.Image:
    levels = np.zeros((48, 64), np.uint8)
    levels[12:36, 16:48] = 255
    return Image.fromarray(levels)


def content(kind: str) -> bytes:
    if kind == "text":
        return b'{"a": 1}'
    if kind == "thumbnail":
        return jpeg(1)
    return encoded(mask(), "JPEG" if kind == "mask as jpeg" else "PNG")


def photograph(seed: int) -> bytes:
    return encoded(Image.fromarray(picture(seed, width=200, height=150)), "JPEG", quality=95)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, made in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)


def read(folder: Path, source: str = "isic") -> tuple[Listing, dict[str, bytes]]:
    listing = READERS[source](folder, licence="CC0-1.0", attribution="us")
    with RawReader(folder, max_bytes=10**7) as reader:
        return listing, {entry.source_id: reader.read(entry.locator) for entry in listing.entries}


@pytest.mark.parametrize("folder", ["Annotations", "a", "zz", "Images/more"])
@pytest.mark.parametrize(("name", "kind"), SIDE.items())
def test_a_side_file_is_never_taken_for_the_photograph(name: str, kind: str, folder: str, tmp_path: Path) -> None:
    photographs = {f"Images/ISIC_{i}.jpg": photograph(i) for i in range(6)}
    table = "isic_id,diagnosis_1\n" + "".join(f"ISIC_{i},Nevus\n" for i in range(6))
    write(tmp_path, photographs | {name.format(folder=folder): content(kind), "metadata.csv": table.encode()})
    listing, found = read(tmp_path)
    assert found == {f"ISIC_{i}": photograph(i) for i in range(6)}
    assert (listing.rejects, listing.ignored_files) == ((), 2)
    assert "1 files beside images are left aside" in listing.notes[0]


def test_a_mask_whose_photograph_is_missing_is_not_taken_for_it(tmp_path: Path) -> None:
    files = {f"ISIC_{i}.jpg": photograph(i) for i in (1, 2)} | {
        "ISIC_3.png": content("mask"),
        "masks/ISIC_4.jpg": jpeg(),
    }
    table = "isic_id,diagnosis_1\n" + "".join(f"ISIC_{i},Nevus\n" for i in range(1, 5))
    write(tmp_path, files | {"metadata.csv": table.encode()})
    listing, found = read(tmp_path)
    assert set(found) == {"ISIC_1", "ISIC_2"}
    assert {reject.source_id: reject.detail for reject in listing.rejects} == {
        "ISIC_3": "metadata row 3 has no image, but a side file: ISIC_3.png",
        "ISIC_4": "metadata row 4 has no image, but a side file: masks/ISIC_4.jpg",
    }


def test_two_photographs_of_one_id_are_a_repeat_as_ever(tmp_path: Path) -> None:
    write(
        tmp_path, {"a/ISIC_1.jpg": photograph(1), "b/ISIC_1.jpg": photograph(2), "metadata.csv": b"isic_id\nISIC_1\n"}
    )
    listing, found = read(tmp_path)
    assert found == {"ISIC_1": photograph(1)}
    assert [reject.reason for reject in listing.rejects] == ["repeated_id"]


def test_where_there_are_thumbnails_only_they_are_the_photographs(tmp_path: Path) -> None:
    write(tmp_path, {"thumbs/ISIC_1.jpg": jpeg(), "metadata.csv": b"isic_id\nISIC_1\n"})
    assert read(tmp_path)[1] == {"ISIC_1": jpeg()}


@pytest.mark.parametrize(
    "name",
    [
        *("nevus/1.png", "nevus/1_mask.png", "nevus/masks/1.png", "masks/nevus/1.png", "nevus/1.json"),
        *(
            "nevus_mask/1.png",
            "nevus/thumbs/1.jpg",
            "nevus/1-thumbnail.jpg",
            "Annotations/nevus/1.xml",
            "nevus/1_seg.npy",
        ),
    ],
)
def test_class_named_folders_leave_side_files_aside(name: str, tmp_path: Path) -> None:
    kind = "thumbnail" if "thumb" in name else "mask" if name.endswith(".png") else "text"
    write(tmp_path, {"nevus/1.jpg": photograph(1), "nevus/2.jpg": photograph(2), name: content(kind)})
    listing, found = read(tmp_path, "folder")
    assert (set(found), listing.ignored_files) == ({"nevus/1.jpg", "nevus/2.jpg"}, 1)


def test_what_is_beside_no_photograph_of_its_name_stays_a_row(tmp_path: Path) -> None:
    names = ["nevus/1.jpg", "nevus/1.png", "masks/7.png", "nevus/readme.txt", "mel/1.jpg", "thumbs/x.jpg"]
    made: dict[str, Any] = {name: photograph(i) for i, name in enumerate(names)} | {"nevus/readme.txt": b"words"}
    write(tmp_path, made)
    listing, found = read(tmp_path, "folder")
    assert (set(found), listing.ignored_files) == (set(names), 0)


def test_every_file_is_a_row_or_left_aside_in_any_order_of_folders(tmp_path: Path) -> None:
    for number, (photos, masks) in enumerate(itertools.permutations(["a", "b", "img", "zz"], 2)):
        folder = tmp_path / str(number)
        write(folder, {f"{photos}/ISIC_{i}.jpg": photograph(i) for i in range(3)})
        write(folder, {f"{masks}/ISIC_{i}.png": content("mask") for i in range(3)})
        write(folder, {"metadata.csv": b"isic_id\nISIC_0\nISIC_1\nISIC_2\n"})
        listing, found = read(folder)
        assert found == {f"ISIC_{i}": photograph(i) for i in range(3)}
        assert listing.ignored_files == 4


def test_an_id_that_ends_like_a_side_files_name_is_a_photographs(tmp_path: Path) -> None:
    write(tmp_path, {"case_overlay.jpg": photograph(1), "case.jpg": photograph(2), "other_seg.jpg": photograph(3)})
    write(tmp_path, {"metadata.csv": b"isic_id\ncase_overlay\ncase\nother_seg\n"})
    assert read(tmp_path)[1] == {"case_overlay": photograph(1), "case": photograph(2), "other_seg": photograph(3)}
