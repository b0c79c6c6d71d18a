from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.embed import encoders
from pipeline.stages.embed.encoders import load
from pipeline.stages.embed.encoding import Encoded
from pipeline.stages.embed.params import EmbedParams, Encoder
from pipeline.stages.embed.stage import BATCHES_PER_TASK, run
from pipeline.stages.embed.tables import Embeddings, Layers, read_embeddings, read_layers
from pipeline.stages.ingest.tables import Images
from tests.drawn import ingest, jpeg, lesion
from tests.networks import save_timm

ENCODER = Encoder(
    library="timm", model="test_vit", weights="vit.safetensors", source="package", side_pixels=None, layers=[]
)
PARAMS = EmbedParams(engine="local", encoder=ENCODER, precision="fp32", device="cpu", batch_size=2)
INSTANCE = "vit-demo"


def with_layers(*layers: int) -> EmbedParams:
    return PARAMS.model_copy(update={"encoder": ENCODER.model_copy(update={"layers": list(layers)})})


def planted(root: Path, *, images: int = 5, seed: int = 0) -> Store:
    store = ingest(root, {f"{i:02}.jpg": jpeg(lesion(i)) for i in range(images)})
    (root / "data/raw/weights").mkdir(parents=True, exist_ok=True)
    save_timm(root / "data/raw/weights/vit.safetensors", seed=seed)
    return store


def encoder_id(store: Store) -> str:
    (found,) = store.read(Embeddings, "vit/demo")["encoder"].unique()
    return str(found)


def negated(encoded: Encoded) -> Encoded:
    return encoded._replace(vectors=-encoded.vectors)


def test_every_image_gets_a_row_and_what_is_read_and_written_is_recorded(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS, INSTANCE)
    assert store.read(Embeddings, "vit/demo")["image_id"].tolist() == [f"demo:{i:02}.jpg" for i in range(5)]
    assert store.vectors(Embeddings, "vector", "vit/demo").shape == (5, 64)
    assert "data/raw/weights/vit.safetensors" in store.reads
    assert "data/embed/vit/demo/embeddings.parquet" in store.writes


def test_the_encoder_names_library_model_weights_and_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "computes_in_bf16", lambda _: True)  # else a warning
    store = planted(tmp_path)
    run(store, PARAMS, INSTANCE)
    first = encoder_id(store)
    run(planted(tmp_path, seed=1), PARAMS, INSTANCE)
    other_weights = encoder_id(store)
    run(store, PARAMS.model_copy(update={"precision": "bf16"}), INSTANCE)
    assert first.startswith("timm/test_vit/vit@")
    assert first.endswith("/fp32/native")
    assert first != other_weights
    assert encoder_id(store) == other_weights.replace("/fp32", "/bf16")


def test_each_layer_asked_for_is_described_and_named(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, with_layers(0, 3), INSTANCE)
    table, found = read_layers(store, "vit", ["demo"])
    encoder = encoder_id(store)
    assert table["image_id"].tolist() == [f"demo:{i:02}.jpg" for i in range(5)]
    assert {tuple(names) for names in table["layers"]} == {(f"{encoder}/layer 0", f"{encoder}/layer 3")}
    assert {tuple(widths) for widths in table["widths"]} == {(128, 128)}
    assert found.shape == (5, 256)


def test_no_layer_asked_for_is_an_empty_table(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS, INSTANCE)
    assert store.read(Layers, "vit/demo").empty
    assert "data/embed/vit/demo/layers.parquet" in store.writes


def test_layers_rise() -> None:
    with pytest.raises(ValidationError, match="rising order"):
        Encoder.model_validate(ENCODER.model_dump() | {"layers": [3, 1]})


def test_finished_pieces_are_taken_as_they_are_and_missing_ones_computed(tmp_path: Path) -> None:
    planted(tmp_path, images=BATCHES_PER_TASK + 2)
    params = PARAMS.model_copy(update={"batch_size": 1})
    run(Store(tmp_path), params, INSTANCE)
    whole = Store(tmp_path).vectors(Embeddings, "vector", "vit/demo")
    first, second = sorted((tmp_path / "data/.cache/work/embed@vit-demo").rglob("*.pkl"))
    first.write_bytes(pickle.dumps(negated(pickle.loads(first.read_bytes()))))  # noqa: S301 - our own file
    second.unlink()
    run(Store(tmp_path), params, INSTANCE)
    resumed = Store(tmp_path).vectors(Embeddings, "vector", "vit/demo")
    assert np.array_equal(resumed[:BATCHES_PER_TASK], -whole[:BATCHES_PER_TASK])
    assert np.array_equal(resumed[BATCHES_PER_TASK:], whole[BATCHES_PER_TASK:])


def test_a_run_with_nothing_left_to_compute_loads_no_network(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS, INSTANCE)
    load.cache_clear()
    run(store, PARAMS, INSTANCE)
    assert load.cache_info().misses == 0


def test_missing_weights_name_the_command_that_brings_them(tmp_path: Path) -> None:
    store = planted(tmp_path)
    (tmp_path / "data/raw/weights/vit.safetensors").unlink()
    with pytest.raises(UserError, match="run `python -m pipeline fetch weights`"):
        run(store, PARAMS, INSTANCE)


def test_a_batch_without_images_is_refused(tmp_path: Path) -> None:
    store = planted(tmp_path)
    store.write(Images, Images.empty(), instance="demo")
    with pytest.raises(UserError, match="has no accepted image to embed"):
        run(store, PARAMS, INSTANCE)


BACKBONE = "tf_efficientnet_lite0"
CHANNELS, LAST = 112, 1280  # of its stage 3 and its last
LITE0 = Encoder(
    library="timm", model=BACKBONE, weights="second.safetensors", source="package", side_pixels=64, layers=[3]
)
FURTHER = PARAMS.model_copy(update={"encoder": LITE0})


@pytest.fixture
def three(tmp_path: Path) -> Store:
    """Two pictures, and the first one mirrored; random weights of EfficientNet-lite0."""
    picture = lesion(0, width=60, height=40)
    contents = {"a": jpeg(picture), "b": jpeg(lesion(1, width=60, height=40)), "c": jpeg(picture[:, ::-1])}
    store = ingest(tmp_path, contents, diagnosis=["nevus"] * 3)
    (tmp_path / "data/raw/weights").mkdir(parents=True)
    save_timm(tmp_path / "data/raw/weights/second.safetensors", model=BACKBONE)
    return store


def test_a_stage_of_maps_is_described_by_texture_and_a_mirrored_image_nearly_alike(three: Store) -> None:
    run(three, FURTHER, "lite0-demo")
    table, found = read_layers(three, "lite0", ["demo"])
    assert table["image_id"].tolist() == ["demo:a", "demo:b", "demo:c"]
    for names, widths in zip(table["layers"], table["widths"], strict=True):
        assert re.fullmatch(rf"timm/{BACKBONE}/second@[0-9a-f]{{12}}/fp32/64/layer 3", *names)
        assert widths.tolist() == [found.shape[1]]
    assert found.shape == (3, LAST + 2 * CHANNELS)
    assert found.dtype == np.float32
    other, mirrored = (np.abs(found[0] - found[i]).mean() for i in (1, 2))
    assert mirrored < 0.5 * other


def test_stages_of_maps_stand_side_by_side_and_their_vector_is_the_pooled_one(three: Store) -> None:
    run(three, FURTHER, "lite0-demo")
    _, alone = read_layers(three, "lite0", ["demo"])
    both = FURTHER.model_copy(update={"encoder": LITE0.model_copy(update={"layers": [2, 3]})})
    run(three, both, "lite0-demo")
    table, found = read_layers(three, "lite0", ["demo"])
    assert [name[-8:] for name in table["layers"].iloc[0]] == ["/layer 2", "/layer 3"]
    first, second = table["widths"].iloc[0]
    assert second == alone.shape[1]
    assert np.array_equal(found[:, first:], alone)
    _, vectors = read_embeddings(three, "lite0", ["demo"])
    pooled = alone[:, :LAST]
    assert np.allclose(vectors, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-6)


def test_weights_of_another_network_are_refused(three: Store) -> None:
    other = LITE0.model_copy(update={"model": "tf_efficientnet_lite1"})
    with pytest.raises(UserError, match="holds weights of timm/tf_efficientnet_lite0"):
        run(three, FURTHER.model_copy(update={"encoder": other}), "lite0-demo")


def test_encoders_stand_beside_each_other(three: Store) -> None:
    run(three, FURTHER, "one-demo")
    before = (three.root / "data/embed/one/demo/layers.parquet").read_bytes()
    run(three, FURTHER.model_copy(update={"encoder": LITE0.model_copy(update={"side_pixels": 32})}), "two-demo")
    assert (three.root / "data/embed/one/demo/layers.parquet").read_bytes() == before


def test_vectors_of_two_networks_under_one_name_are_refused(three: Store) -> None:
    run(three, FURTHER, "one-demo")
    for table, name in ((Embeddings, "vector"), (Layers, "features")):
        frame = three.read(table, "one/demo")
        if table is Embeddings:
            frame["encoder"] = ["another", *frame["encoder"][1:]]
        else:
            frame["layers"] = [["another"], *frame["layers"][1:]]
        three.write(table, frame, instance="one/demo", vectors={name: three.vectors(table, name, "one/demo")})
    for read in (read_embeddings, read_layers):
        with pytest.raises(UserError, match=r"data/embed/one holds vectors of .*another.* cannot be compared"):
            read(three, "one", ["demo"])
