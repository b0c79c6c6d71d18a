from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.store import Store
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.fingerprint.stage import run
from pipeline.stages.fingerprint.tables import Fingerprints
from tests.drawn import ingest, jpeg, lesion, png
from tests.params import section

pytestmark = pytest.mark.usefixtures("one_core")


def params(images_per_task: int) -> FingerprintParams:
    quality = section("fingerprint.quality")
    return FingerprintParams(engine="local", images_per_task=images_per_task, quality=quality)


def planted(root: Path) -> Store:
    contents = {f"{seed}.jpg": jpeg(lesion(seed)) for seed in range(5)}
    contents["blank.png"] = png(np.full((40, 50, 3), 90, np.uint8))
    return ingest(root, contents)


def test_every_image_gets_one_row_with_its_hashes_and_flags(tmp_path: Path) -> None:
    store = planted(tmp_path)
    run(store, params(100), "demo")
    prints = store.read(Fingerprints, "demo")
    flags = {image_id: list(raised) for image_id, raised in zip(prints["image_id"], prints["flags"], strict=True)}
    assert flags == {f"demo:{seed}.jpg": [] for seed in range(5)} | {"demo:blank.png": ["blank", "small"]}
    phash = store.vectors(Fingerprints, "phash", "demo")
    assert phash.shape == (6, 256)
    assert phash.dtype == np.uint8


def test_the_split_into_tasks_changes_no_byte(tmp_path: Path) -> None:
    written = []
    for size in (2, 100):
        run(planted(tmp_path / str(size)), params(size), "demo")
        written.append((tmp_path / str(size) / "data/fingerprint/demo/fingerprints.parquet").read_bytes())
    assert written[0] == written[1]


def test_finished_tasks_survive_a_killed_run(tmp_path: Path) -> None:
    run(planted(tmp_path), params(2), "demo")
    store = Store(tmp_path)
    finished = sorted((tmp_path / "data/.cache/work/fingerprint@demo").glob("*/*.pkl"))
    assert len(finished) == 3
    ages = [path.stat().st_mtime_ns for path in finished]
    run(store, params(2), "demo")
    assert [path.stat().st_mtime_ns for path in finished] == ages
