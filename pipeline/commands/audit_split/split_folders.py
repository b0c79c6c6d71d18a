"""Reads splits as people keep them in folders: `train/nevus/1.jpg`, `ISIC_Train_JPEG/1.jpg`, `testset/…`.

A folder names a split if its name says nothing else (`test`, `Test_Images`, `trainset`), or if beside it lies a
folder of the same name but for another split (`patches_train` and `patches_test`). So a class called `patch_test`, a
site `test_clinic` or a root `train_test_split` is none. What lies in no split, or in two, is handed on with the
reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from pipeline.core.errors import UserError

SPLIT_WORDS = {
    split: re.compile(rf"({word})(sets?|data|images?)?")
    for split, word in {
        "train": "train(ing)?",
        "validation": "val(id(ation)?)?",
        "development": "dev(elopment)?",
        "test": "test(ing)?",
        "evaluation": "eval(uation)?",
        "holdout": "holdout",
    }.items()
}
SET = re.compile(r"sets?|data|images?|splits?")
# Words beside a split's that say nothing of what is in the folder: kinds of files and names of archives.
NEUTRAL = re.compile(
    r"sets?|data(sets?)?|images?|imgs?|pictures?|photos?|jpe?gs?|pngs?|inputs?|splits?|subset|folder|part|original|raw|"
    r"resized|cropped|final|zip|tar|gz|tgz|isic|ham|dermnet|task|v?\d+"
)


def split_by_folder(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tell the split of each image by the folders of its path.

    Args:
        names: paths relative to the tree's root, whose own name does not count.

    Returns:
        split by name, of those that have one
        why not, by name, of the others.

    Raises:
        UserError: there are not two splits.

    """
    paths = {name: PurePosixPath(name).parts[:-1] for name in names}
    naming = _naming_folders(paths.values())
    splits: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, folders in paths.items():
        splits_named = {naming[folders[:depth]] for depth in range(1, len(folders) + 1) if folders[:depth] in naming}
        if len(splits_named) == 1:
            splits[name] = splits_named.pop()
        else:
            left_out[name] = (
                f"its path names {' and '.join(sorted(splits_named))}" if splits_named else "its path names no split"
            )
    there = sorted(set(splits.values()))
    if len(there) < 2:  # noqa: PLR2004 - a split has two sides
        example = f" ({min(left_out)} lies in none)" if left_out else ""
        raise UserError(
            f"of folders named after splits ({', '.join(SPLIT_WORDS)}) there is {', '.join(there) or 'none'}{example}: "
            "name them so, or give a csv"
        )
    return splits, left_out


def split_of_word(text: str) -> str | None:
    """Return the split that a name stands for, if it says nothing else: `Training`, `test-set`, `hold_out`."""
    split, rest = _read(text)
    return split if split and all(word is None or SET.fullmatch(word) for word in rest) else None


def _naming_folders(paths: Iterable[Sequence[str]]) -> dict[tuple[str, ...], str]:
    """Find the folders that name a split, by their whole path."""
    folders = {tuple(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    read = {folder: _read(folder[-1]) for folder in folders}
    families: dict[tuple[tuple[str, ...], tuple[str | None, ...]], set[str]] = {}
    for folder, (split, rest) in read.items():
        if split:
            families.setdefault((folder[:-1], rest), set()).add(split)
    return {
        folder: split
        for folder, (split, rest) in read.items()
        if split and (_says_nothing(rest) or len(families[folder[:-1], rest]) > 1)
    }


def _says_nothing(rest: Iterable[str | None]) -> bool:
    return all(word is None or NEUTRAL.fullmatch(word) for word in rest)


def _read(text: str) -> tuple[str | None, tuple[str | None, ...]]:
    """Return the one split that a name holds (None if none or several), and its words, None in the split's place."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    plain = re.sub(r"hold[\W_]*out", "holdout", plain.casefold())
    words = [(word, _split(word)) for word in re.findall(r"[^\W\d_]+|\d+", plain)]
    splits = {split for _, split in words if split}
    return splits.pop() if len(splits) == 1 else None, tuple(None if split else word for word, split in words)


def _split(word: str) -> str | None:
    return next((split for split, pattern in SPLIT_WORDS.items() if pattern.fullmatch(word)), None)
