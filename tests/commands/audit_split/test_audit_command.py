from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.audit_split.command import CROSSED, INCOMPLETE
from pipeline.commands.main import main
from pipeline.core.errors import UserError
from pipeline.stages.dedup.tables import Duplicates
from tests.drawn import ingest, jpeg, lesion
from tests.params import write as write_params
from tests.stages.ingest.foreign import zip_of

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six lesions; a mirrored, darker re-encode of one in train lies in test, and a page named .jpg."""
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    mirrored = (lesion(0)[:, ::-1] * 0.8).astype(np.uint8)
    pictures = {f"train/nv/{seed}.jpg": jpeg(lesion(seed)) for seed in range(3)}
    pictures |= {f"test/nv/{seed}.jpg": jpeg(lesion(seed)) for seed in range(3, 6)}
    pictures |= {"test/mel/copy.jpg": jpeg(np.ascontiguousarray(mirrored), 60), "test/mel/page.jpg": b"<html></html>"}
    for name, content in pictures.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "images"


def test_a_copy_that_crosses_folders_is_listed_drawn_and_fails_the_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit-split", str(folder)]) == CROSSED
    out = folder.parent / "reports/audit_split"
    crossing = pd.read_csv(out / "crossings.csv")
    assert crossing[["a", "b", "relation"]].to_numpy().tolist() == [["test/mel/copy.jpg", "train/nv/0.jpg", "copy"]]
    assert len(list((out / "pictures").glob("*.png"))) == 1
    assert pd.read_csv(out / "rejects.csv")["source_id"].tolist() == ["test/mel/page.jpg"]
    told = capsys.readouterr().out
    assert "test: 4 images, train: 3 images" in told
    assert "1 pairs cross the split" in told
    assert not list((folder.parent / "data/.cache/audit").iterdir()), "the work is swept"


def test_a_clean_split_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test/mel/copy.jpg").unlink()
    assert main(["audit-split", str(folder)]) == 0
    assert "no pair, no lesion and no patient crosses the split\n" in capsys.readouterr().out


def test_a_csv_names_images_of_a_folder_and_their_lesions(folder: Path) -> None:
    split = folder.parent / "split.csv"
    split.write_text("image,split,lesion_id\n0.jpg,one,\n1.jpg,one,l\ncopy.jpg,two,\n4,two,l\n", "utf-8")
    assert main(["audit-split", str(split), "--images", str(folder), "--out", str(folder.parent / "out")]) == CROSSED
    crossing = pd.read_csv(folder.parent / "out/crossings.csv")
    assert crossing[["a", "b", "evidence"]].to_numpy().tolist() == [
        ["test/mel/copy.jpg", "train/nv/0.jpg", "geometry"],
        ["test/nv/4.jpg", "train/nv/1.jpg", "lesion_id"],
    ]


def listed(folder: Path, name: str, column: str) -> list[Any]:
    found: list[Any] = pd.read_csv(folder.parent / "reports/audit_split" / name)[column].tolist()
    return found


def test_patients_on_both_sides_fail_the_check(folder: Path) -> None:
    split = folder.parent / "split.csv"
    split.write_text("image;split;patient_id\n0;train;IP_1\n1;train;IP_2\n3;test;IP_1\n4;test;NA\n", "utf-8")
    assert main(["audit-split", str(split), "--images", str(folder)]) == CROSSED
    assert listed(folder, "crossings.csv", "evidence") == ["patient_id"]
    assert listed(folder, "crossings.csv", "relation") == ["same_patient"]


@pytest.mark.parametrize("value", ["NA", "nan", "None", "unknown", "-", ""])
def test_lesions_and_patients_that_nobody_knows_are_not_one(value: str, folder: Path) -> None:
    split = folder.parent / "split.csv"
    rows = "".join(f"{i},{'train' if i % 2 else 'test'},{value},{value}\n" for i in range(6))
    split.write_text("image,split,lesion_id,patient_id\n" + rows, "utf-8")
    assert main(["audit-split", str(split), "--images", str(folder)]) == 0


@pytest.mark.parametrize("name", ["testset", "eval", "hold-out", "Test Images"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_leak_is_found_however_the_folder_of_the_other_split_is_named_or_linked(
    name: str,
    linked: bool,  # noqa: FBT001
    folder: Path,
) -> None:
    if linked:
        (folder / "test").rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")
    else:
        (folder / "test").rename(folder / name)
    assert main(["audit-split", str(folder)]) == CROSSED
    assert listed(folder, "crossings.csv", "a") == [f"{name}/mel/copy.jpg"]


@pytest.mark.parametrize("place", ["extra/1.jpg", "1.jpg", "test_of_patches/mel/1.jpg", "train/test/1.jpg", "more.zip"])
def test_nothing_crosses_but_a_picture_was_left_out(
    place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "test/mel/copy.jpg").unlink()
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zip_of({"1.jpg": jpeg(lesion(9))}) if place.endswith("zip") else jpeg(lesion(9)))
    assert main(["audit-split", str(folder)]) == INCOMPLETE
    assert listed(folder, "left_out.csv", "name") == [place + ("/1.jpg" if place.endswith("zip") else "")]
    assert "no patient crosses the split, of what was looked at" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_left_out_and_a_page_is_none(folder: Path) -> None:
    (folder / "test/mel/copy.jpg").unlink()
    (folder / "readme.txt").write_text("words", "utf-8")
    assert main(["audit-split", str(folder)]) == 0
    (folder / "train/nv/cut.jpg").write_bytes(jpeg(lesion(9))[:2000])
    assert main(["audit-split", str(folder)]) == INCOMPLETE


def test_rows_that_meet_no_image_or_several_are_listed_and_fail(folder: Path) -> None:
    (folder / "test/nv/1.jpg").write_bytes(jpeg(lesion(9)))
    split = folder.parent / "split.csv"
    split.write_text("file,split\n0,a\n3,b\n99,b\n1,a\n4,b,odd\n2,\n", "utf-8")
    assert main(["audit-split", str(split), "--images", str(folder)]) == INCOMPLETE
    assert listed(folder, "left_out.csv", "row") == [5, 6, 3, 4]
    split.write_text("file,split\nx,a\ny,b\n", "utf-8")
    assert main_fails(split, folder) == "none of the 2 rows"


def main_fails(split: Path, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        main(["audit-split", str(split), "--images", str(folder)])
    return str(error.value)[:18]


def test_nothing_of_an_earlier_report_stays_and_what_is_not_ours_does(folder: Path) -> None:
    (folder / "extra").mkdir()
    (folder / "extra/1.jpg").write_bytes(jpeg(lesion(9)))
    assert main(["audit-split", str(folder)]) == CROSSED
    out = folder.parent / "reports/audit_split"
    (out / "notes.txt").write_text("mine", "utf-8")
    for path in ("extra/1.jpg", "test/mel/copy.jpg", "test/mel/page.jpg"):
        (folder / path).unlink()
    assert main(["audit-split", str(folder)]) == 0
    assert {path.name for path in out.iterdir()} == {"crossings.csv", "shared.csv", "pictures", "notes.txt"}
    assert not list((out / "pictures").iterdir())


def test_a_projects_own_lesions_and_patients_count_and_so_do_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    patients: list[str | None] = ["demo:p", None, "demo:p", None]
    store = ingest(tmp_path, {f"mel/{i}.jpg": jpeg(lesion(i)) for i in range(4)}, patient_id=patients)
    store.write(Duplicates, Duplicates.empty(), vectors={"transform": np.empty((0, 9), np.float32)})
    split = tmp_path / "split.csv"
    split.write_text("image_id,split,lesion_id\n0,train,a\n1,train,b\n2,test,c\n3,test,b\n", "utf-8")
    assert main(["audit-split", str(split)]) == CROSSED
    found = pd.read_csv(tmp_path / "reports/audit_split/crossings.csv")
    assert found[["a", "b", "evidence"]].to_numpy().tolist() == [
        ["demo:mel/1.jpg", "demo:mel/3.jpg", "lesion_id"],
        ["demo:mel/0.jpg", "demo:mel/2.jpg", "patient_id"],
    ]
