from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.review.samples import export, plane, read_samples
from pipeline.stages.embed.tables import Embeddings
from tests.ledger.made import EMPTY
from tests.review.made import COUNT, project


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return project(tmp_path_factory.mktemp("project"), EMPTY)


def test_every_image_has_one_row_and_one_position(store: Store) -> None:
    samples = read_samples(store, ["demo"], "clip")
    assert samples.rows["image_id"].tolist() == [f"demo:{i:02d}" for i in range(COUNT)]
    assert samples.positions is not None
    assert samples.positions.shape == (COUNT, 2)
    assert len(samples.pixels) == COUNT


def test_a_set_of_copies_shares_the_name_of_its_kept_image(store: Store) -> None:
    rows = read_samples(store, ["demo"], "clip").rows.set_index("image_id")
    assert rows["copies"].dropna().to_dict() == {"demo:00": "demo:00", "demo:01": "demo:00"}
    assert rows.loc["demo:01", "excluded"] == "duplicate: copy of demo:00"


def test_both_ends_of_an_edge_name_the_other(store: Store) -> None:
    rows = read_samples(store, ["demo"], "clip").rows.set_index("image_id")
    assert rows.loc["demo:02", "related"] == ["same_lesion of demo:05"]
    assert rows.loc["demo:05", "related"] == ["same_lesion of demo:02"]
    assert rows.loc["demo:03", "related"] == []


def test_the_digest_follows_the_tables(store: Store) -> None:
    assert (
        read_samples(Store(store.root), ["demo"], "clip").digest
        == read_samples(Store(store.root), ["demo"], "clip").digest
    )
    other = project(store.root.parent / "other", EMPTY)
    path = other.root / "data/embed/clip/demo/embeddings.parquet"
    frame = pd.read_parquet(path)
    frame["encoder"] = "another"
    path.unlink()
    vectors = np.stack(frame["vector"].tolist())
    other.write(Embeddings, frame[["image_id", "encoder"]], instance="clip/demo", vectors={"vector": vectors})
    assert (
        read_samples(Store(other.root), ["demo"], "clip").digest
        != read_samples(Store(store.root), ["demo"], "clip").digest
    )


def test_without_a_run_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_samples(Store(tmp_path), ["demo"], "clip")


def test_exported_files_hold_the_stored_bytes_under_their_format(store: Store, tmp_path: Path) -> None:
    samples = read_samples(store, ["demo"], "clip")
    paths = export(samples, tmp_path / "pictures")
    assert [path.suffix for path in paths] == [".png" if i == 3 else ".jpeg" for i in range(COUNT)]
    assert [path.read_bytes() for path in paths] == [samples.pixels.read(i) for i in range(COUNT)]
    with Image.open(io.BytesIO(paths[0].read_bytes())) as image:
        assert image.size == (64, 48)
    assert (tmp_path / "pictures").stat().st_mode & 0o077 == 0


def test_a_second_export_writes_nothing_and_deletes_what_is_gone(store: Store, tmp_path: Path) -> None:
    samples = read_samples(store, ["demo"], "clip")
    paths = export(samples, tmp_path / "pictures")
    before = [path.stat().st_mtime_ns for path in paths]
    (tmp_path / "pictures/gone.jpeg").write_bytes(b"")
    assert export(samples, tmp_path / "pictures") == paths
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert set((tmp_path / "pictures").iterdir()) == set(paths)


def test_the_plane_keeps_the_directions_of_largest_variance() -> None:
    rng = np.random.default_rng(0)
    planted = rng.normal(0, [10.0, 5.0], (200, 2))
    turn, _ = np.linalg.qr(rng.normal(0, 1, (16, 16)))
    vectors = np.pad(planted, ((0, 0), (0, 14))) @ turn + rng.normal(0, 0.01, (200, 16))
    found = plane(vectors)
    for i in range(2):
        assert abs(np.corrcoef(found[:, i], planted[:, i])[0, 1]) > 0.99
    assert np.array_equal(found, plane(vectors))
