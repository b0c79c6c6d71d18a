from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import timm

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.models.weights import Card, save_weights, timm_preprocessing
from pipeline.stages.ingest.tables import Images
from pipeline.stages.opinions import stage
from pipeline.stages.opinions.params import Network, OpinionsParams
from pipeline.stages.opinions.tables import Opinions
from tests.drawn import ingest, jpeg, lesion

BACKBONE = "tf_efficientnet_lite0"
CHANNELS, LAST = 112, 1280  # of its texture level and its last


def params(**changes: object) -> OpinionsParams:
    return OpinionsParams.model_validate(
        {"engine": "local", "networks": [network()], "device": "cpu", "batch_size": 2} | changes
    )


def network(backbone: str = BACKBONE, *, side_pixels: int = 64) -> Network:
    return Network(backbone=backbone, weights="second.safetensors", side_pixels=side_pixels)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    picture = lesion(0, width=60, height=40)
    found = ingest(
        tmp_path,
        {"a": jpeg(picture), "b": jpeg(lesion(1, width=60, height=40)), "c": jpeg(picture[:, ::-1])},
        diagnosis=["nevus"] * 3,
    )
    module = timm.create_model(BACKBONE, pretrained=False)
    folder = tmp_path / "data/raw/weights"
    folder.mkdir(parents=True)
    tensors = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    save_weights(folder / "second.safetensors", tensors, Card(f"timm/{BACKBONE}", timm_preprocessing(module)))
    return found


def test_every_image_is_described_and_a_mirrored_one_nearly_alike(store: Store) -> None:
    stage.run(store, params(), "demo")
    found, table = store.vectors(Opinions, "description", "demo"), store.read(Opinions, "demo")
    assert table["image_id"].tolist() == ["demo:a", "demo:b", "demo:c"]
    for networks, widths in zip(table["networks"], table["widths"], strict=True):
        assert re.fullmatch(rf"timm/{BACKBONE}/second@[0-9a-f]{{12}}/64", *networks)
        assert widths.tolist() == [found.shape[1]]
    assert found.shape == (3, LAST + 2 * CHANNELS)
    other, mirrored = (np.abs(found[0] - found[i]).mean() for i in (1, 2))
    assert mirrored < 0.5 * other


def test_without_a_network_the_table_is_empty_and_no_weights_are_read(store: Store) -> None:
    stage.run(store, params(networks=[]), "demo")
    assert store.read(Opinions, "demo").empty
    assert len(store.vectors(Opinions, "description", "demo")) == 0
    assert not any("weights" in path for path in store.reads)


def test_networks_descriptions_stand_side_by_side(store: Store) -> None:
    alone = []
    for side_pixels in (64, 32):
        stage.run(store, params(networks=[network(side_pixels=side_pixels)]), "demo")
        alone.append(store.vectors(Opinions, "description", "demo"))
    stage.run(store, params(networks=[network(), network(side_pixels=32)]), "demo")
    table = store.read(Opinions, "demo")
    assert [name[-3:] for name in table["networks"].iloc[0]] == ["/64", "/32"]
    assert table["widths"].iloc[0].tolist() == [view.shape[1] for view in alone]
    assert np.array_equal(store.vectors(Opinions, "description", "demo"), np.hstack(alone))


def test_weights_of_another_network_are_refused(store: Store) -> None:
    with pytest.raises(UserError, match="holds weights of timm/tf_efficientnet_lite0"):
        stage.run(store, params(networks=[network("tf_efficientnet_lite1")]), "demo")


def test_a_batch_without_images_is_refused(store: Store) -> None:
    store.write(Images, store.read(Images, "demo").head(0), instance="demo")
    with pytest.raises(UserError, match="no accepted image to describe"):
        stage.run(store, params(), "demo")
