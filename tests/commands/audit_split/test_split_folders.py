from __future__ import annotations

import itertools

import pytest

from pipeline.commands.audit_split.split_folders import split_by_folder, split_of_word
from pipeline.core.errors import UserError

NAMES = {
    "train": [
        "train",
        "Train",
        "TRAINING",
        "trainset",
        "training_set",
        "train-images",
        "TrainImages",
        "1_train",
        "train.zip",
    ],
    "validation": ["val", "valid", "Validation", "valset", "val_data", "ISIC_Validation_Input"],
    "test": ["test", "Testing", "testset", "test_set", "Test Images", "ISIC2018_Task3_Test_Input"],
    "evaluation": ["eval", "evaluation", "eval-set"],
    "holdout": ["holdout", "hold_out", "Hold-Out Set"],
    "development": ["dev", "devset"],
}


def test_folders_tell_the_split_however_they_are_spelt() -> None:
    names = ["train/nv/1.jpg", "set/Validation/2.jpg", "nv/test/3.jpg", "ISIC_Train_JPEG/4.jpg", "extra/5.jpg", "6.jpg"]
    found, left_out = split_by_folder(names)
    assert found == dict(zip(names, ["train", "validation", "test", "train"], strict=False))
    assert left_out == dict.fromkeys(names[4:], "its path names no split")


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in NAMES.items() for name in names])
def test_every_usual_name_of_a_split_is_known(split: str, name: str) -> None:
    other = "train" if split != "train" else "test"
    assert split_by_folder([f"{name}/mel/1.jpg", f"{other}/mel/2.jpg"])[0] == {
        f"{name}/mel/1.jpg": split,
        f"{other}/mel/2.jpg": other,
    }


@pytest.mark.parametrize(
    "word", ["patch_test", "prick test", "train_test_split", "test_clinic", "contest", "latest", "devon"]
)
@pytest.mark.parametrize("place", ["{word}/{split}/1.jpg", "{split}/{word}/1.jpg", "set/{word}/mel/{split}/1.jpg"])
def test_a_word_of_a_split_in_another_name_is_no_split(word: str, place: str) -> None:
    names = {place.format(word=word, split=split): split for split in ("train", "test")}
    names |= {place.format(word="mel", split=split): split for split in ("train", "test")}
    assert split_by_folder(names) == (names, {})


@pytest.mark.parametrize("template", ["patches_{}", "{}_of_mine", "clinic {} 2019", "{}.old"])
def test_folders_that_differ_by_the_split_only_name_it_whatever_else_they_say(template: str) -> None:
    names = {f"{template.format(split)}/{i}.jpg": split for i, split in enumerate(["train", "test", "holdout"])}
    assert split_by_folder(names) == (names, {})


def test_a_path_that_names_two_splits_is_in_none() -> None:
    names = ["train/1.jpg", "test/2.jpg", "train/test/3.jpg"]
    assert split_by_folder(names)[1] == {"train/test/3.jpg": "its path names test and train"}


def test_a_tree_with_one_split_only_is_refused() -> None:
    with pytest.raises(UserError, match=r"there is train \(tests_of_mine/2\.jpg lies in none\): name them so"):
        split_by_folder(["train/1.jpg", "tests_of_mine/2.jpg"])


def test_every_file_of_a_tree_is_in_a_split_or_left_out() -> None:
    folders = ["train", "test", "patch_test", "mel", "val_2", "x"]
    names = [f"{a}/{b}/{c}.jpg" for a, b, c in itertools.product(folders, folders, range(2))]
    found, left_out = split_by_folder(names)
    assert sorted([*found, *left_out]) == sorted(names)


def test_a_word_in_a_table_is_a_split_only_if_it_says_nothing_else() -> None:
    assert [split_of_word(word) for word in ("Training", "test-set", "test 1", "patch_test")] == [
        "train",
        "test",
        None,
        None,
    ]
