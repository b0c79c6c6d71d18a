from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.special import softmax

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.table import Table
from pipeline.models import fit
from pipeline.models.params import LossName, read_member
from pipeline.models.weights import read_card, read_tensors
from pipeline.stages.embed.tables import Embeddings, Layers, lay_out
from pipeline.stages.ingest.tables import Images
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train import stage
from pipeline.stages.train.encoder_features import read_features
from pipeline.stages.train.member import LEAST, Task
from pipeline.stages.train.params import TrainParams
from pipeline.stages.train.tables import Predictions
from tests import drawn
from tests.project import HEAD, NETWORK, PROBE
from tests.stages.rebalance.made import write_selection

pytestmark = pytest.mark.usefixtures("one_core_for_all")

COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}
MEMBER = {**NETWORK, "weights": None, "epochs": 3, "patience_epochs": 3, "learning_rate": 0.01}


def params(**changes: Any) -> TrainParams:
    return of_member({**MEMBER, **changes})


def of_member(member: dict[str, Any], loss: str = "cross_entropy") -> TrainParams:
    return TrainParams.model_validate(
        {"batches": ["demo"], "classes": "all", "device": "cpu", "loss": loss, "member": member}
    )


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
    write_selection(store, kept.assign(weight=1.0, draws=1.0), "raw", sorted(COLOURS))
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
        "network",
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
    write_selection(store, selection[selection["split"] != "validation"], "raw", sorted(COLOURS))
    with pytest.raises(UserError, match="validation holds 0 images and needs 1"):
        stage.run(store, params(), "m-raw-0")


def test_missing_weights_are_refused_with_the_command_that_brings_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors does not exist .*fetch weights"):
        stage.run(made(tmp_path), params(weights="none.safetensors"), "m-raw-0")


def test_a_diagnosis_out_of_scope_is_refused(tmp_path: Path) -> None:
    selection = pd.DataFrame({"split": list(LEAST), "diagnosis": ["nevus", "scar", "nevus"]})
    with pytest.raises(UserError, match="holds \\['scar'\\]"):
        Task(selection, np.ones((3, 1), np.float32), ["nevus"], loss="cross_entropy", seed=0, scratch=tmp_path)


@pytest.mark.parametrize("key", ["augmentation", "epochs", "optimizer", "label_smoothing"])
def test_a_head_on_frozen_features_has_no_recipe(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        read_member(HEAD | {key: MEMBER[key]})


@pytest.mark.parametrize("kind", ["none", None])
def test_a_member_of_no_kind_is_refused_with_those_there_are(kind: str | None) -> None:
    with pytest.raises(ValidationError, match="trainable must be all, head or probe"):
        read_member({**MEMBER, "trainable": kind})


def probe(loss: str = "cross_entropy", **changes: Any) -> TrainParams:
    return of_member({**PROBE, "backbone": "clip", **changes}, loss)


def embedded(root: Path, *, layers: bool) -> Store:
    """The pictures of `made`, and an encoder that sees their colour in its vector or in a layer, among noise."""
    store = made(root)
    images = store.read(Images, "demo")
    rng = np.random.default_rng(1)
    colour = np.eye(3)[[sorted(COLOURS).index(name) for name in images["diagnosis"]]]
    noise = rng.normal(size=(len(images), 6))
    seen = {True: colour + 0.1 * rng.normal(size=colour.shape), False: rng.normal(size=colour.shape)}
    vectors = np.hstack([noise, seen[not layers]]).astype(np.float32)
    frame = images[["image_id"]].assign(encoder="an encoder")
    store.write(Embeddings, frame, instance="clip/demo", vectors={"vector": vectors})
    features = np.hstack([noise[:, :2], 1000 * seen[layers]]).astype(np.float16)
    rows, laid = lay_out(images, features, layers=["3", "5"] if layers else [], widths=[2, 3])
    store.write(Layers, rows, instance="clip/demo", vectors={"features": laid})
    return store


@pytest.mark.parametrize("layers", [False, True], ids=["vector", "layers"])
def test_a_probe_learns_from_what_embed_wrote(tmp_path: Path, *, layers: bool) -> None:
    store = embedded(tmp_path, layers=layers)
    stage.run(store, probe(), "m-raw-0")
    found, selection = store.read(Predictions, "m-raw-0"), store.read(Selection, "raw").set_index("image_id")
    given = selection.loc[found["image_id"], "diagnosis"].to_numpy()
    said = np.array(sorted(COLOURS))[store.vectors(Predictions, "probabilities", "m-raw-0").argmax(1)]
    assert (said == given)[given != "blue"].mean() > 0.8
    card = read_card(tmp_path / "data/train/m-raw-0/weights.safetensors")
    assert card.model == ("probe/an encoder 3 5" if layers else "probe/an encoder")


def test_the_weights_of_a_probe_are_for_features_as_they_are(tmp_path: Path) -> None:
    store = embedded(tmp_path, layers=True)
    stage.run(store, probe(), "m-raw-0")
    found = store.read(Predictions, "m-raw-0")
    features = read_features(store, "clip", ["demo"], found["image_id"]).matrix
    tensors = read_tensors(tmp_path / "data/train/m-raw-0/weights.safetensors")
    expected = softmax(features @ tensors["weight"].T + tensors["bias"], axis=1)
    assert store.vectors(Predictions, "probabilities", "m-raw-0") == pytest.approx(expected, abs=1e-4)


def test_a_probe_of_an_encoder_that_embed_has_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="other"):
        stage.run(embedded(tmp_path, layers=False), probe(backbone="other"), "m-raw-0")


@pytest.mark.parametrize("table", [Embeddings, Layers])
def test_an_image_that_was_not_embedded_is_refused(tmp_path: Path, table: type[Table]) -> None:
    """Never given another image's numbers."""
    store = embedded(tmp_path, layers=True)
    name = {Embeddings: "vector", Layers: "features"}[table]
    rows, vectors = store.read(table, "clip/demo"), store.vectors(table, name, "clip/demo")
    store.write(table, rows.iloc[1:], instance="clip/demo", vectors={name: vectors[1:]})
    with pytest.raises(UserError, match="run `dvc repro"):
        stage.run(store, probe(), "m-raw-0")


@pytest.mark.parametrize("change", [{"side_pixels": 32}, {"weights": "w.safetensors"}, {"augmentation": "light"}])
def test_a_probe_takes_no_pixels(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="probe"):
        probe(**change)


def test_labels_that_are_shared_out_are_learnt_in_parts(tmp_path: Path) -> None:
    """Half of what every green train image counts is moved to blue, which has no image of its own."""
    store = embedded(tmp_path, layers=False)
    selection, target = store.read(Selection, "raw"), store.vectors(Selection, "target", "raw")
    moved = ((selection["split"] == "train") & (selection["diagnosis"] == "green")).to_numpy()
    target[moved] = [0.5, 0.5, 0.0]
    store.write(Selection, selection, instance="raw", vectors={"target": target})
    stage.run(store, probe(), "m-raw-0")
    found = store.read(Predictions, "m-raw-0")
    probabilities = store.vectors(Predictions, "probabilities", "m-raw-0")
    given = selection.set_index("image_id").loc[found["image_id"], "diagnosis"].to_numpy()
    blue = probabilities[:, 0]
    assert blue[given == "green"].mean() > 0.3
    assert blue[given == "red"].mean() < 0.2


@pytest.mark.parametrize("loss", get_args(LossName))
def test_every_loss_trains_a_member(tmp_path: Path, loss: str) -> None:
    store = embedded(tmp_path, layers=False)
    stage.run(store, probe(loss=loss), "m-raw-0")
    found = store.read(Predictions, "m-raw-0")
    given = store.read(Selection, "raw").set_index("image_id").loc[found["image_id"], "diagnosis"].to_numpy()
    said = np.array(sorted(COLOURS))[store.vectors(Predictions, "probabilities", "m-raw-0").argmax(1)]
    assert (said == given)[given != "blue"].mean() > 0.8


def folded(store: Store, given: TrainParams, *, pairs: bool = True) -> Store:
    """Run a member whose folds hold the images of a lesion, every two, together."""
    selection = store.read(Selection, "raw")
    groups = selection["image_id"].to_numpy().copy()
    groups[1::2] = groups[: len(groups) - len(groups) % 2 : 2]
    if pairs:
        write_selection(store, selection.assign(group_id=groups), "raw", sorted(COLOURS))
    stage.run(store, given, "m-raw-0")
    return store


FOLDS: dict[str, Any] = {"folds": 3, "epochs": 3, "patience_epochs": 3}


@pytest.mark.parametrize("kind", ["all", "head", "probe"])
def test_a_member_with_folds_predicts_train_out_of_fold(tmp_path: Path, kind: str) -> None:
    given = {
        "all": params(**FOLDS, augmentation="light", test_time_augmentation="flips"),
        "head": of_member({**HEAD, "weights": None, "folds": 3}),
        "probe": probe(folds=3),
    }[kind]
    store = folded(embedded(tmp_path, layers=False), given)
    found, selection = store.read(Predictions, "m-raw-0"), store.read(Selection, "raw")
    assert found["image_id"].tolist() == selection["image_id"].tolist()
    assert found["split"].tolist() == selection["split"].tolist()
    vectors = store.vectors(Predictions, "probabilities", "m-raw-0")
    assert vectors.sum(1) == pytest.approx(np.ones(len(found)), abs=1e-5)
    truth = selection["diagnosis"].to_numpy()
    said = np.array(sorted(COLOURS))[vectors.argmax(1)] == truth
    for split in ("train", "test"):
        assert said[(truth != "blue") & (selection["split"] == split)].mean() > 0.8
    names = {path.name for path in (tmp_path / "data/train/m-raw-0").iterdir()}
    assert names >= {"weights-1.safetensors", "weights-2.safetensors", "weights-3.safetensors"}
    history = json.loads((tmp_path / "data/train/m-raw-0/history.json").read_text())
    assert len(history["best_epochs"]) == len({line["network"] for line in history["epochs"]}) == 3


def test_validation_and_test_are_predicted_by_the_mean_of_the_folds_networks(tmp_path: Path) -> None:
    store = folded(embedded(tmp_path, layers=True), probe(folds=3))
    found, folder = store.read(Predictions, "m-raw-0"), tmp_path / "data/train/m-raw-0"
    features = read_features(store, "clip", ["demo"], found["image_id"]).matrix
    each = []
    for fold in (1, 2, 3):
        tensors = read_tensors(folder / f"weights-{fold}.safetensors")
        each.append(softmax(features @ tensors["weight"].T + tensors["bias"], axis=1))
    vectors, learnt = store.vectors(Predictions, "probabilities", "m-raw-0"), (found["split"] == "train").to_numpy()
    assert vectors[~learnt] == pytest.approx(np.mean(each, axis=0)[~learnt], abs=1e-4)
    held = np.abs(np.stack(each) - vectors).max(axis=2) < 1e-4  # by one network alone, that of the fold
    assert held[:, learnt].any(axis=0).all()


def test_no_label_of_a_lesion_has_a_part_in_what_is_said_of_it_out_of_fold(tmp_path: Path) -> None:
    """Whatever is planted in one lesion's labels, its own out-of-fold predictions stay as they are."""
    said = []
    for name in ("as they are", "shared out"):
        (tmp_path / name).mkdir()
        store = folded(embedded(tmp_path / name, layers=False), probe())  # only to write the groups
        selection, target = store.read(Selection, "raw"), store.vectors(Selection, "target", "raw")
        train = np.flatnonzero(selection["split"] == "train")
        lesion = (selection["group_id"] == selection["group_id"].iloc[train[0]]).to_numpy()
        if name == "shared out":
            target[lesion] = 0.6 * target[lesion] + 0.4 * np.roll(target[lesion], 1, axis=1)
        store.write(Selection, selection, instance="raw", vectors={"target": target})
        stage.run(store, probe(folds=3), "m-raw-0")
        found = store.read(Predictions, "m-raw-0")
        rows = found["image_id"].isin(selection["image_id"][lesion & (selection["split"] == "train").to_numpy()])
        said.append(store.vectors(Predictions, "probabilities", "m-raw-0")[rows.to_numpy()])
        said.append(store.vectors(Predictions, "probabilities", "m-raw-0")[~rows.to_numpy()])
    assert np.array_equal(said[0], said[2])
    assert not np.array_equal(said[1], said[3])


def test_a_member_with_folds_that_was_killed_in_its_second_fold_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = params(**FOLDS, ema_decay=0.9, mixup_alpha=0.4)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    folded(made(tmp_path / "whole"), given)
    save, saved = fit._Run.save, list[Path]()

    def save_and_die(run: fit._Run, checkpoint: Path) -> None:
        save(run, checkpoint)
        saved.append(checkpoint)
        if len(saved) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit._Run, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            folded(made(tmp_path / "killed"), given)
    assert saved[-1].name == "fold-1.pt"
    stage.run(Store(tmp_path / "killed"), given, "m-raw-0")
    assert outs(tmp_path / "killed") == outs(tmp_path / "whole")


def test_folds_that_leave_one_image_to_learn_from_are_refused(tmp_path: Path) -> None:
    store = made(tmp_path)
    selection = store.read(Selection, "raw")
    kept = (selection["split"] != "train") | selection["image_id"].isin(["demo:00", "demo:01"])
    write_selection(store, selection[kept], "raw", sorted(COLOURS))
    with pytest.raises(UserError, match="would learn from 1 images in fold 1, and needs 2"):
        stage.run(store, params(folds=2), "m-raw-0")


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"test_time_augmentation": "flips"}])
def test_a_probe_takes_neither_bf16_nor_views(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="probe"):
        probe(**change)
