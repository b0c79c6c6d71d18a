from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.models import fit
from pipeline.models.params import Member
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train import stage
from pipeline.stages.train.member import classes_of
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.tables import Predictions
from tests import drawn
from tests.project import NETWORK

pytestmark = pytest.mark.usefixtures("one_core_for_all")

COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}
MEMBER = {**NETWORK, "weights": None, "epochs": 3, "patience_epochs": 3, "learning_rate": 0.01}


def params(**changes: Any) -> TrainParams:
    member = {**MEMBER, **changes}
    return TrainParams.model_validate({"batches": ["demo"], "classes": "all", "device": "cpu", "member": member})


def made(root: Path, *, images: int = 45) -> Store:
    """Pictures of three colours; every fifth is validation, every fifth test; blue is not in train."""
    rng = np.random.default_rng(0)
    names = [list(COLOURS)[i % 3] for i in range(images)]
    pictures = [np.clip(rng.normal(COLOURS[name], 30, (24, 32, 3)), 0, 255).astype(np.uint8) for name in names]
    contents = {f"{i:02d}": drawn.png(picture) for i, picture in enumerate(pictures)}
    store = drawn.ingest(root, contents, diagnosis=[*names])
    ids = [f"demo:{name}" for name in contents]
    splits = [{3: "validation", 4: "test"}.get(i % 5, "train") for i in range(images)]
    frame = pd.DataFrame({"image_id": ids, "split": splits, "group_id": ids, "given": names, "diagnosis": names})
    kept = frame[(frame["split"] != "train") | (frame["diagnosis"] != "blue")]
    store.write(Selection, kept.assign(weight=1.0), instance="raw")
    return store


def outs(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "data/train/m-raw-0").iterdir()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    stage.run(made(folder), params(), "m-raw-0")
    return folder


def test_validation_and_test_are_predicted_in_the_order_of_the_taxonomy(root: Path) -> None:
    store = Store(root)
    found = store.read(Predictions, "m-raw-0")
    selection = store.read(Selection, "raw")
    assert found["image_id"].tolist() == selection.loc[selection["split"] != "train", "image_id"].tolist()
    vectors = store.vectors(Predictions, "probabilities", "m-raw-0")
    assert vectors.sum(1) == pytest.approx(np.ones(len(found)), abs=1e-5)
    given = selection.set_index("image_id").loc[found["image_id"], "diagnosis"].to_numpy()
    learnt = given != "blue"
    assert (np.array(["blue", "green", "red"])[vectors.argmax(1)] == given)[learnt].mean() > 0.8


def test_history_has_no_clock_in_it(root: Path) -> None:
    found = json.loads((root / "data/train/m-raw-0/history.json").read_text())
    assert found["diagnoses"] == ["blue", "green", "red"]
    assert [line["epoch"] for line in found["epochs"]] == [1, 2, 3]
    assert set(found["epochs"][0]) == {
        "epoch",
        "train_loss",
        "validation_balanced_accuracy",
        "validation_log_loss",
    }


def test_a_killed_run_writes_the_same_bytes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path)
    save, saved = fit._Run.save, []

    def save_and_die(run: fit._Run, checkpoint: Path) -> None:
        save(run, checkpoint)
        saved.append(checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit._Run, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            stage.run(store, params(), "m-raw-0")
    assert saved[0].exists()
    assert not (tmp_path / "data/train").exists()
    stage.run(Store(tmp_path), params(), "m-raw-0")
    assert outs(tmp_path) == outs(root)


def test_another_seed_gives_another_network(root: Path, tmp_path: Path) -> None:
    stage.run(made(tmp_path), params(), "m-raw-1")
    other = (tmp_path / "data/train/m-raw-1/weights.safetensors").read_bytes()
    assert other != outs(root)["weights.safetensors"]


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    store = made(tmp_path)
    selection = store.read(Selection, "raw")
    store.write(Selection, selection[selection["split"] != "validation"], instance="raw")
    with pytest.raises(UserError, match="validation holds 0 images and needs 1"):
        stage.run(store, params(), "m-raw-0")


def test_missing_weights_are_refused_with_the_command_that_brings_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors does not exist .*fetch weights"):
        stage.run(made(tmp_path), params(weights="none.safetensors"), "m-raw-0")


def test_a_diagnosis_out_of_scope_is_refused() -> None:
    with pytest.raises(UserError, match="holds \\['scar'\\]"):
        classes_of(pd.Series(["nevus", "scar"]), ["nevus"])


def test_a_head_on_frozen_features_takes_no_augmentation() -> None:
    with pytest.raises(ValidationError, match="augmentation must be none"):
        Member.model_validate({**MEMBER, "trainable": "head", "augmentation": "light"})
