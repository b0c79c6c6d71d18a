from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.table import TableError
from pipeline.stages.embed.tables import Embeddings


def embeddings(*ids: str) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.DataFrame({"image_id": list(ids), "encoder": "tiny"})
    return frame, np.arange(2 * len(ids), dtype=np.float32).reshape(-1, 2)


def write(store: Store, instance: str, *ids: str) -> None:
    frame, vectors = embeddings(*ids)
    store.write(Embeddings, frame, instance=instance, vectors={"vector": vectors})


def test_what_was_written_is_read_back_sorted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "one", "one:b", "one:a")
    assert store.read(Embeddings, "one")["image_id"].tolist() == ["one:a", "one:b"]
    assert store.vectors(Embeddings, "vector", "one").tolist() == [[2, 3], [0, 1]]


def test_instances_are_concatenated_in_the_order_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "one", "one:a")
    write(store, "two", "two:a")
    assert store.read(Embeddings, ["two", "one"])["image_id"].tolist() == ["two:a", "one:a"]


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    frame, vectors = embeddings("a", "b", "c")
    store.write(Embeddings, frame, instance="one", vectors={"vector": vectors})
    store.write(Embeddings, frame.iloc[::-1], instance="two", vectors={"vector": vectors[::-1]})
    one, two = (tmp_path / f"data/embed/{name}/embeddings.parquet" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_broken_frame_leaves_no_file(tmp_path: Path) -> None:
    frame, vectors = embeddings("a", "a")
    with pytest.raises(TableError):
        Store(tmp_path).write(Embeddings, frame, instance="one", vectors={"vector": vectors})
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_interrupted_output_leaves_the_old_one_and_is_not_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.output("data/x/file") as path:
        path.write_text("old")
    store.writes.clear()
    with pytest.raises(KeyboardInterrupt), store.output("data/x/file") as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "data/x/file").read_text() == "old"
    assert not store.writes


def test_a_folder_replaces_the_folder_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("first", "second"):
        with store.output("reports/x/pictures") as folder:
            folder.mkdir()
            (folder / name).touch()
    assert [path.name for path in (tmp_path / "reports/x/pictures").iterdir()] == ["second"]


def test_every_access_is_recorded(tmp_path: Path) -> None:
    writer = Store(tmp_path)
    write(writer, "one", "one:a")
    writer.report("embed/one.json", {"images": 1})
    reader = Store(tmp_path)
    reader.read(Embeddings, "one")
    assert writer.writes == {"data/embed/one/embeddings.parquet", "reports/embed/one.json"}
    assert reader.reads == {"data/embed/one/embeddings.parquet"}


def test_a_missing_table_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        Store(tmp_path).read(Embeddings, "one")
    with pytest.raises(UserError, match="fetch weights"):
        Store(tmp_path).input("data/raw/weights/clip.safetensors")


def test_no_instances_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no instance"):
        Store(tmp_path).read(Embeddings, [])


@pytest.mark.parametrize("damage", ["truncate", "other_table"])
def test_a_file_changed_by_hand_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    write(store, "one", "one:a")
    path = tmp_path / "data/embed/one/embeddings.parquet"
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match="not a valid table"):
        store.read(Embeddings, "one")


def test_reports_are_stable_text(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.report("a.json", {"b": 1, "a": "é"})
    store.report("a.csv", pd.DataFrame({"x": [1 / 3]}))
    assert json.loads((tmp_path / "reports/a.json").read_text("utf-8")) == {"a": "é", "b": 1}
    assert (tmp_path / "reports/a.csv").read_text() == "x\n0.333333\n"


def test_scratch_follows_inputs_and_params(tmp_path: Path) -> None:
    write(Store(tmp_path), "one", "one:a")

    def scratch(params: str) -> Path:
        store = Store(tmp_path)
        store.read(Embeddings, "one")
        return store.scratch(params, keep="stage@one")

    first = scratch("p")
    (first / "work").touch()
    assert scratch("p") == first
    assert (first / "work").exists()
    assert scratch("q") != first
    assert not first.exists(), "work for other params is of no use and is deleted"
    second = scratch("q")
    write(Store(tmp_path), "one", "one:b")
    assert scratch("q") != second


def test_sweep_deletes_the_work_of_one_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mine, other = store.scratch("p", keep="mine"), store.scratch("p", keep="other")
    store.sweep("mine")
    assert not mine.exists()
    assert other.exists()
