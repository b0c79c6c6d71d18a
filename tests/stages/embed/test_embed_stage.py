from __future__ import annotations

import pickle
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
from pipeline.stages.embed.tables import Embeddings, Levels
from pipeline.stages.ingest.tables import Images
from tests.drawn import ingest, jpeg, lesion
from tests.networks import save_timm

ENCODER = Encoder(library="timm", model="test_vit", weights="vit.safetensors", source="package", side_pixels=None)
PARAMS = EmbedParams(engine="local", encoder=ENCODER, levels=[], precision="fp32", device="cpu", batch_size=2)


def planted(root: Path, *, images: int = 5, seed: int = 0) -> Store:
    store = ingest(root, {f"{i:02}.jpg": jpeg(lesion(i)) for i in range(images)})
    (root / "data/raw/weights").mkdir(parents=True, exist_ok=True)
    save_timm(root / "data/raw/weights/vit.safetensors", seed=seed)
    return store


def encoder_id(store: Store) -> str:
    (found,) = store.read(Embeddings, "demo")["encoder"].unique()
    return str(found)


def negated(encoded: Encoded) -> Encoded:
    return Encoded(-encoded.vectors, encoded.levels)


def test_every_image_gets_a_row_and_what_is_read_and_written_is_recorded(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS, "demo")
    assert store.read(Embeddings, "demo")["image_id"].tolist() == [f"demo:{i:02}.jpg" for i in range(5)]
    assert store.vectors(Embeddings, "vector", "demo").shape == (5, 64)
    assert "data/raw/weights/vit.safetensors" in store.reads
    assert "data/embed/demo/embeddings.parquet" in store.writes


def test_the_encoder_names_library_model_weights_and_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "computes_in_bf16", lambda _: True)  # else a warning
    store = planted(tmp_path)
    run(store, PARAMS, "demo")
    first = encoder_id(store)
    run(planted(tmp_path, seed=1), PARAMS, "demo")
    other_weights = encoder_id(store)
    run(store, PARAMS.model_copy(update={"precision": "bf16"}), "demo")
    assert first.startswith("timm/test_vit/vit@")
    assert first.endswith("/fp32/native")
    assert first != other_weights
    assert encoder_id(store) == other_weights.replace("/fp32", "/bf16")


def test_each_level_asked_for_is_described_and_named(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS.model_copy(update={"levels": [0, 3]}), "demo")
    table, found = store.read(Levels, "demo"), store.vectors(Levels, "description", "demo")
    encoder = encoder_id(store)
    assert table["image_id"].tolist() == [f"demo:{i:02}.jpg" for i in range(5)]
    assert {tuple(names) for names in table["networks"]} == {(f"{encoder}/block 0", f"{encoder}/block 3")}
    assert {tuple(widths) for widths in table["widths"]} == {(128, 128)}
    assert found.shape == (5, 256)


def test_no_level_asked_for_is_an_empty_table(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS, "demo")
    assert store.read(Levels, "demo").empty
    assert "data/embed/demo/levels.parquet" in store.writes


def test_levels_rise() -> None:
    with pytest.raises(ValidationError, match="rising order"):
        EmbedParams.model_validate(PARAMS.model_dump() | {"levels": [3, 1]})


def test_finished_pieces_are_taken_as_they_are_and_missing_ones_computed(tmp_path: Path) -> None:
    planted(tmp_path, images=BATCHES_PER_TASK + 2)
    params = PARAMS.model_copy(update={"batch_size": 1})
    run(Store(tmp_path), params, "demo")
    whole = Store(tmp_path).vectors(Embeddings, "vector", "demo")
    first, second = sorted((tmp_path / "data/.cache/work/embed@demo").rglob("*.pkl"))
    first.write_bytes(pickle.dumps(negated(pickle.loads(first.read_bytes()))))  # noqa: S301 - our own file
    second.unlink()
    run(Store(tmp_path), params, "demo")
    resumed = Store(tmp_path).vectors(Embeddings, "vector", "demo")
    assert np.array_equal(resumed[:BATCHES_PER_TASK], -whole[:BATCHES_PER_TASK])
    assert np.array_equal(resumed[BATCHES_PER_TASK:], whole[BATCHES_PER_TASK:])


def test_a_run_with_nothing_left_to_compute_loads_no_network(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, PARAMS, "demo")
    load.cache_clear()
    run(store, PARAMS, "demo")
    assert load.cache_info().misses == 0


def test_missing_weights_name_the_command_that_brings_them(tmp_path: Path) -> None:
    store = planted(tmp_path)
    (tmp_path / "data/raw/weights/vit.safetensors").unlink()
    with pytest.raises(UserError, match="run `python -m pipeline fetch weights`"):
        run(store, PARAMS, "demo")


def test_a_batch_without_images_is_refused(tmp_path: Path) -> None:
    store = planted(tmp_path)
    store.write(Images, Images.empty(), instance="demo")
    with pytest.raises(UserError, match="has no accepted image to embed"):
        run(store, PARAMS, "demo")
