from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline.commands.audit_split.split_files import match, read_split
from pipeline.core.errors import UserError


def written(folder: Path, text: str) -> Path:
    path = folder / "split.csv"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "image,split,lesion_id\na,train,l1\nb,test,\n",
        "ISIC_ID;Set;Lesion_ID\na;train;l1\nb;test;\n",
        "path\tage\tfold\tlesion\na\t50\ttrain\tl1\nb\t60\ttest\t\n",
        "Image Name|PARTITION|Lesion Id|\na|Train|l1|\nb|Testing|unknown|\n",
    ],
    ids=["commas", "semicolons", "tabs", "pipes"],
)
def test_usual_names_of_columns_are_known(tmp_path: Path, text: str) -> None:
    rows, problems = read_split(written(tmp_path, text))
    assert rows[["image", "split"]].to_numpy().tolist() == [["a", "train"], ["b", "test"]]
    assert rows["lesion_id"].tolist()[0] == "l1"
    assert rows["lesion_id"].isna().tolist() == [False, True]
    assert not len(problems)


def test_a_file_without_lesions_and_patients_has_none(tmp_path: Path) -> None:
    rows, _ = read_split(written(tmp_path, "image,split\na,train\nb,test\n"))
    assert rows[["lesion_id", "patient_id"]].isna().all(axis=None)


@pytest.mark.parametrize("column", ["patient_id", "Patient", "subject", "PATIENT-ID"])
def test_patients_are_read(tmp_path: Path, column: str) -> None:
    rows, _ = read_split(written(tmp_path, f"image,split,{column}\na,train,p\nb,test,n/a\n"))
    assert rows["patient_id"].tolist() == ["p", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no.* readable table"),
        ("label,split\na,train\n", "has the columns label, split: name one of them image"),
        ("image,split\na,train\na,test\n", "1 images are in two splits by name, the first is a"),
    ],
)
def test_a_file_that_is_no_split_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_split(written(tmp_path, text))


def test_rows_without_image_or_split_or_out_of_shape_are_listed(tmp_path: Path) -> None:
    rows, problems = read_split(written(tmp_path, "image,split\na,train\n,test\nb,NA\nc,te,st\nd\ne,test\n"))
    assert rows["image"].tolist() == ["a", "e"]
    assert problems["row"].tolist() == [2, 3, 4, 5]
    assert problems["problem"].str.contains("names no image or no split").tolist() == [True, True, False, False]


def met(wanted: list[str], names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Match, and return image by name and problem by name."""
    found, problems = match(pd.DataFrame({"row": range(len(wanted)), "image": wanted}), names)
    return {wanted[row]: str(image) for row, image in found.items()}, dict(  # type: ignore[call-overload]
        zip(problems["name"], problems["problem"], strict=True)
    )


def test_rows_find_their_image_by_path_name_or_stem() -> None:
    names = ["nv/1.jpg", "nv/2.jpg", "mel/2.jpg", "mel/3.png"]
    assert met(["1", "mel/2.jpg", "3.png"], names) == (
        dict(zip(["1", "mel/2.jpg", "3.png"], ["nv/1.jpg", *names[2:]], strict=True)),
        {},
    )


def test_the_longest_common_end_of_path_decides() -> None:
    names = ["a/x/1.jpg", "b/x/1.jpg", "b/y/1.jpg"]
    found, problems = met(["/mnt/old/b/x/1.png", "C:\\a\\x\\1.JPG", "./b/y/1"], names)
    assert (list(found.values()), problems) == (["b/x/1.jpg", "a/x/1.jpg", "b/y/1.jpg"], {})


def test_an_extension_or_a_case_decides_where_nothing_else_does() -> None:
    names = ["x/1.jpg", "x/1.png", "y/a.jpg", "y/A.jpg"]
    wanted = ["1.png", "1.jpg", "A.jpg", "y/a.jpg"]
    assert met(wanted, names) == (dict(zip(wanted, ["x/1.png", "x/1.jpg", "y/A.jpg", "y/a.jpg"], strict=True)), {})


@pytest.mark.parametrize("seed", range(20))
def test_rows_meet_their_images_however_paths_are_spelt(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    names = [
        f"{site}/{label}/IMG {i:02d}.v1.jpg" for site in ("one", "two") for label in ("nv", "mel") for i in range(4)
    ]
    spell: list[Callable[[str], str]] = [
        lambda name: name.replace("/", "\\"),
        lambda name: f"./{name}",
        lambda name: f"D:\\data\\{name}",
        lambda name: f"/home/somebody/set/{name}",
        str.upper,
        lambda name: name.removesuffix(".jpg"),
        lambda name: name.replace(".jpg", ".PNG"),
        lambda name: f" {name} ",
    ]
    wanted = {rng.choice(spell)(rng.choice(spell)(name)): name for name in names}
    assert met(list(wanted), rng.sample(names, len(names))) == (wanted, {})


def test_rows_that_fit_no_image_or_several_are_listed() -> None:
    found, problems = met(["1", "2", "9", ""], ["nv/1.jpg", "nv/2.jpg", "mel/2.jpg"])
    assert found == {"1": "nv/1.jpg"}
    assert problems == {
        "2": "fits 2 images, such as nv/2.jpg and mel/2.jpg",
        "9": "names no image",
        "": "names no image",
    }


def test_an_image_belongs_to_the_row_that_names_more_of_its_path() -> None:
    assert met(["1", "nv/1.jpg"], ["nv/1.jpg"]) == (
        {"nv/1.jpg": "nv/1.jpg"},
        {"1": "names nv/1.jpg, as another row does"},
    )


def test_two_rows_that_name_an_image_equally_are_both_listed() -> None:
    found, problems = met(["a/1.jpg", "b/1.jpg"], ["nv/1.jpg"])
    assert (found, set(problems)) == ({}, {"a/1.jpg", "b/1.jpg"})


def test_a_projects_image_is_met_with_and_without_its_batch() -> None:
    names = ["one:mel/1.jpg", "two:mel/1.jpg", "two:ISIC_7"]
    wanted = ["one:mel/1.jpg", "two/mel/1", "ISIC_7.jpg"]
    assert met(wanted, names) == (dict(zip(wanted, names, strict=True)), {})
