from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline.core.errors import UserError
from pipeline.core.folds import EVERY_FOLD, assign_folds
from pipeline.core.store import Store
from pipeline.models import trainable
from pipeline.models.params import Member
from pipeline.stages.cross_fit import fitting, stage
from pipeline.stages.cross_fit.fitting import Labels, Shown, collect, fit_fold, fit_out_of_fold, label_images, show
from pipeline.stages.cross_fit.params import CrossFitParams
from pipeline.stages.cross_fit.tables import OutOfFold
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images, open_pixels
from tests import drawn
from tests.project import NETWORK

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.usefixtures("one_core_for_all")

COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}
CLASSES = sorted(COLOURS)
MEMBER = {**NETWORK, "weights": None, "epochs": 3, "patience_epochs": 3, "learning_rate": 0.01}
IMAGES, LESIONS = 60, 30


def params(**changes: Any) -> CrossFitParams:
    tree = {"batches": ["demo"], "classes": "all", "members": {"m": MEMBER}, "folds": 3, "device": "cpu", "seed": 0}
    return CrossFitParams.model_validate(tree | changes)


def made(root: Path) -> Store:
    """Two pictures a lesion, of three colours; every tenth lesion is validation or test, one picture is a copy."""
    rng = np.random.default_rng(0)
    lesion = np.arange(IMAGES) // 2
    names = [list(COLOURS)[i % 3] for i in lesion]
    pictures = [np.clip(rng.normal(COLOURS[name], 30, (24, 32, 3)), 0, 255).astype(np.uint8) for name in names]
    contents = {f"{i:02d}": drawn.png(picture) for i, picture in enumerate(pictures)}
    lesions: list[str | None] = [f"demo:l{i}" for i in lesion]
    store = drawn.ingest(root, contents, diagnosis=[*names], lesion_id=lesions)
    ids = [f"demo:{name}" for name in contents]
    splits = [("validation", "test")[i % 10 - 8] if i % 10 >= 8 else "train" for i in lesion]
    groups = pd.DataFrame({"image_id": ids, "duplicate_of": None, "group_id": lesions, "split": splits})
    groups.loc[1, "duplicate_of"] = ids[0]
    store.write(Groups, groups)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("cross_fit"))


@pytest.fixture(scope="module")
def shown(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Labels, Shown]:
    rows, labels = label_images(store.read(Images, "demo"), store.read(Groups), CLASSES)
    member, folder = params().members["m"], tmp_path_factory.mktemp("pictures")
    return labels, show(open_pixels(store, rows), member, weights=None, device="cpu", scratch=folder)


def test_every_image_is_judged_and_the_member_has_learnt_the_colours(tmp_path: Path) -> None:
    store = made(tmp_path)
    stage.run(store, params())
    table, found = store.read(OutOfFold), store.vectors(OutOfFold, "probabilities")
    images = store.read(Images, "demo")
    assert table["image_id"].tolist() == images["image_id"].tolist()
    assert set(table["member"]) == {"m"}
    assert found.sum(axis=1) == pytest.approx(np.ones(IMAGES), abs=1e-5)
    assert (np.array(CLASSES)[found.argmax(axis=1)] == images["diagnosis"]).mean() > 0.8


def test_members_stand_below_each_other(tmp_path: Path) -> None:
    store = made(tmp_path)
    short = {**MEMBER, "epochs": 1}
    stage.run(store, params(members={"b": short, "a": {**short, "side_pixels": 24}}, classes=["blue", "red"]))
    table = store.read(OutOfFold)
    in_scope = store.read(Images, "demo").query("diagnosis != 'green'")["image_id"].tolist()
    assert table.groupby("member")["image_id"].apply(list).to_dict() == {"a": in_scope, "b": in_scope}
    assert store.vectors(OutOfFold, "probabilities").shape == (2 * len(in_scope), 2)


def test_without_a_member_the_table_is_empty_and_no_picture_is_read(tmp_path: Path) -> None:
    store = made(tmp_path)
    stage.run(store, params(members={}))
    assert store.read(OutOfFold).empty
    assert not any(path.endswith((".tar", ".safetensors")) for path in store.reads)


def test_no_label_of_a_held_group_nor_of_validation_and_test_has_a_part_in_what_is_said_of_it(
    shown: tuple[Labels, Shown], tmp_path: Path
) -> None:
    labels, pictures = shown
    held_by = assign_folds(labels.given, labels.group, labels.learnt, count=3, seed=0)
    held = (held_by == 1) | (held_by == EVERY_FOLD)
    said = []
    for name, lied in (("true", np.zeros_like(held)), ("held", held), ("others", ~held)):
        scratch = tmp_path / name
        scratch.mkdir()
        given = np.where(lied, (labels.given + 1) % 3, labels.given)
        one = Labels(given, labels.classes, labels.group, labels.learnt, labels.weight)
        said.append(fit_fold(params().members["m"], pictures, one, held_by, 1, seed=0, weights=None, scratch=scratch))
    assert np.array_equal(said[0], said[1])
    assert not np.allclose(said[0], said[2])


def test_copies_are_not_learnt_from_and_lesions_count_once(store: Store) -> None:
    _, labels = label_images(store.read(Images, "demo"), store.read(Groups), CLASSES)
    assert not labels.learnt[1]
    assert labels.learnt.sum() == 24 * 2 - 1
    assert labels.weight[0] == 1  # its other picture is a copy
    assert labels.weight[2] == 0.5


def test_what_folds_say_is_averaged_where_several_judge() -> None:
    held_by = np.array([0, 1, EVERY_FOLD])
    found = collect([np.array([[1.0, 0.0], [0.6, 0.4]]), np.array([[0.0, 1.0], [0.2, 0.8]])], held_by)
    assert found == pytest.approx(np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.6]]))


def test_a_finished_fold_is_not_trained_again(
    shown: tuple[Labels, Shown], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, pictures = shown
    member, trained = params().members["m"], list[Path]()

    def train_twice(*given: Any, **named: Any) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(named["checkpoint"])
        return trainable.train(*given, **named)

    def run() -> Array:
        return fit_out_of_fold(member, pictures, labels, folds=3, seed=0, weights=None, scratch=tmp_path)

    monkeypatch.setattr(fitting, "train", train_twice)
    with pytest.raises(KeyboardInterrupt):
        run()
    trained.pop()
    found = run()
    assert [path.name for path in trained] == ["fold-0.pt", "fold-2.pt"]
    monkeypatch.setattr(fitting, "train", trainable.train)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert np.array_equal(
        found, fit_out_of_fold(member, pictures, labels, folds=3, seed=0, weights=None, scratch=fresh)
    )


def test_a_run_that_is_killed_at_the_second_member_keeps_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, trained = made(tmp_path), list[str]()
    short = MEMBER | {"epochs": 1}
    both = params(members={"one": short, "two": short | {"learning_rate": 0.02}}, folds=2)

    def train_thrice(*given: Any, **named: Any) -> Any:
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append("/".join(named["checkpoint"].parts[-2:]))
        return trainable.train(*given, **named)

    monkeypatch.setattr(fitting, "train", train_thrice)
    with pytest.raises(KeyboardInterrupt):
        stage.run(store, both)
    trained.clear()
    stage.run(Store(tmp_path), both)
    assert trained == ["two/fold-1.pt"]


def test_a_fold_that_leaves_nothing_to_learn_from_is_refused(shown: tuple[Labels, Shown], tmp_path: Path) -> None:
    labels, pictures = shown
    few = np.isin(np.arange(IMAGES), [0, 6, 12, 18])  # a picture of each of four lesions of a colour
    one = Labels(labels.given, labels.classes, labels.group, few, labels.weight)
    with pytest.raises(UserError, match="would learn from 1 images in fold 1, and needs 2"):
        fit_out_of_fold(params().members["m"], pictures, one, folds=2, seed=0, weights=None, scratch=tmp_path)


def test_too_few_groups_and_foreign_groups_are_refused(store: Store) -> None:
    images, groups = store.read(Images, "demo"), store.read(Groups)
    with pytest.raises(UserError, match="train holds fewer than 3 groups in scope"):
        label_images(images, groups.assign(split="test"), CLASSES)
    with pytest.raises(UserError, match="data/dedup speaks of other images"):
        label_images(images, groups.iloc[5:], CLASSES)


def test_a_member_s_name_is_a_folder() -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        params(members={"../m": MEMBER})
    assert isinstance(params().members["m"], Member)
