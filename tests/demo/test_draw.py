from __future__ import annotations

import argparse
import io
import os
import re
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.demo import copies, scrape
from pipeline.demo import draw as demo
from pipeline.demo.lesions import DIAGNOSES

KINDS = {"", "wrong_label", "off_topic", "truncated", "not_an_image", *copies.KINDS}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "data/raw/demo").mkdir(parents=True)
    (folder / "data/raw/demo/stale.jpg").write_bytes(b"of an earlier drawing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)  # 40 images are drawn before worker processes have started
        written = demo.run(folder, argparse.Namespace(images=40, seed=3))
    assert written == [folder / "data/raw/demo"]
    return folder


@pytest.fixture(scope="module")
def truth(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "data/truth/demo.csv", keep_default_na=False, dtype=str)


def test_the_truth_names_exactly_the_files_that_are_there_and_no_stale_one_is_left(
    root: Path, truth: pd.DataFrame
) -> None:
    batch = root / "data/raw/demo"
    files = [str(path.relative_to(batch)) for path in batch.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(truth["image"])
    assert len(files) == 40
    assert (truth["image"].str.partition("/")[0] == truth["given_label"]).all()
    assert set(truth["original"]) <= {"", *truth["image"]}


def test_every_kind_of_defect_is_planted(truth: pd.DataFrame) -> None:
    assert set(truth["defect"]) == KINDS
    is_copy = truth["defect"].isin(copies.KINDS)
    assert ((truth["original"] != "") == is_copy).all()
    across = is_copy & (truth["true_label"] != truth["given_label"])
    assert across.any(), "a copy lies in the folder of another diagnosis"
    assert (is_copy & ~across).any(), "and another one in its own"


def test_all_diagnoses_are_drawn_and_nevi_most() -> None:
    assert set(scrape.SHARES) == set(DIAGNOSES) == set(scrape.CONFUSED)
    shown = pd.Series(
        [item.true_label for item in scrape.plan(np.random.default_rng(0), images=600) if item.true_label]
    )
    assert shown.value_counts().index[0] == "Melanocytic nevus"
    assert shown.value_counts().min() >= 30


def test_the_full_scrape_holds_the_defects_in_the_shares_asked_for() -> None:
    items = scrape.plan(np.random.default_rng(0), images=600)
    defects = pd.Series([item.defect for item in items]).value_counts()
    assert len(items) == len({item.path for item in items}) == 600
    assert 0.05 <= defects["wrong_label"] / 600 <= 0.08
    assert all(defects[kind] == 16 for kind in copies.KINDS)
    assert defects["truncated"] == defects["not_an_image"] == 1


def test_wrong_labels_are_planted_per_lesion() -> None:
    photographs = [
        item for item in scrape.plan(np.random.default_rng(1), images=600) if item.defect in {"", "wrong_label"}
    ]
    by_lesion = pd.DataFrame([vars(item) for item in photographs]).groupby("lesion")
    assert by_lesion["given_label"].nunique().max() == 1
    assert by_lesion.size().max() == 2


def test_the_same_seed_draws_the_same_bytes(root: Path) -> None:
    items = [item for item in scrape.plan(np.random.default_rng(3), images=40) if item.lesion < 4]
    drawn = dict(demo.draw(items, seed=3))
    assert len(drawn) >= 4
    assert all((root / "data/raw/demo" / path).read_bytes() == content for path, content in drawn.items())


def test_another_seed_draws_another_scrape() -> None:
    one, other = (scrape.plan(np.random.default_rng(seed), images=40) for seed in (0, 1))
    assert {item.path for item in one} != {item.path for item in other}


def test_a_byte_copy_has_the_bytes_and_the_other_copies_have_not(root: Path, truth: pd.DataFrame) -> None:
    batch = root / "data/raw/demo"
    for _, row in truth[truth["original"] != ""].iterrows():
        same = (batch / row["image"]).read_bytes() == (batch / row["original"]).read_bytes()
        assert same == (row["defect"] == "copy_bytes")


def test_only_the_broken_files_cannot_be_decoded(root: Path, truth: pd.DataFrame) -> None:
    for _, row in truth.iterrows():
        content = (root / "data/raw/demo" / row["image"]).read_bytes()
        if row["defect"] in {"truncated", "not_an_image"}:
            with pytest.raises(OSError, match=r"truncated|cannot identify"):
                Image.open(io.BytesIO(content)).load()
        else:
            assert min(Image.open(io.BytesIO(content)).size) >= 60


def test_file_names_give_nothing_away(truth: pd.DataFrame) -> None:
    assert all(re.fullmatch(r"[A-Z][a-z ]+/\d{3,4}\.(jpg|png)", name) for name in truth["image"])
    numbers = truth["image"].str.extract(r"(\d+)\.")[0].astype(int)
    sound = numbers[truth["defect"] == ""]
    assert sound.min() < numbers[truth["defect"] != ""].median() < sound.max()


def test_different_lesions_are_no_near_duplicates(root: Path, truth: pd.DataFrame) -> None:
    shown = truth[truth["defect"] == ""].drop_duplicates("lesion")
    hashes = [imagehash.phash(Image.open(root / "data/raw/demo" / name), hash_size=16) for name in shown["image"]]
    closest = min(a - b for i, a in enumerate(hashes) for b in hashes[:i])
    assert closest > 40


def test_too_small_a_scrape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--images 10 is too few"):
        demo.run(tmp_path, argparse.Namespace(images=10, seed=0))
    assert not (tmp_path / "data").exists()
