from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.dedup import stage
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.dedup.verification import verify
from pipeline.stages.embed.tables import Embeddings
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.fingerprint.stage import run as fingerprint
from pipeline.stages.ingest.tables import Images
from tests.drawn import ingest, jpeg, lesion
from tests.project import ROOT
from tests.stages.dedup.test_groups import expect_lawful

PROFILE: dict[str, Any] = yaml.safe_load((ROOT / "profiles/default.yaml").read_text("utf-8"))


def params(*batches: str) -> DedupParams:
    return DedupParams(
        batches=list(batches),
        encoder="clip",
        engine="local",
        split=PROFILE["split"],
        **{**PROFILE["dedup"], "report_images": 3},
    )


def prepare(store: Store, batch: str, *, encoder: str = "drawn") -> None:
    fingerprint(store, FingerprintParams(engine="local", **PROFILE["fingerprint"]), batch)
    images = store.read(Images, batch)
    vectors = np.random.default_rng(0).normal(size=(len(images), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    frame = pd.DataFrame({"image_id": images["image_id"], "encoder": encoder})
    store.write(Embeddings, frame, instance=f"clip/{batch}", vectors={"vector": vectors})


def planted(root: Path) -> Store:
    """Five lesions; of the first a byte copy, a mirrored re-encode and a crop with another label and lesion id."""
    pictures = [lesion(seed) for seed in range(5)]
    crop = cv2.resize(pictures[0][20:140, 20:180], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    contents = {f"{seed}.jpg": jpeg(picture) for seed, picture in enumerate(pictures)}
    contents |= {
        "5_bytes.jpg": contents["0.jpg"],
        "6_mirrored.jpg": jpeg(np.ascontiguousarray(pictures[0][:, ::-1]), 60),
        "7_cropped.jpg": jpeg(crop),
    }
    diagnosis = ["nevus"] * 7 + ["melanoma"]
    lesions = ["l0", "l1", "l2", "l3", "l3", "l0", "l0", "l7"]
    store = ingest(root, contents, diagnosis=list(diagnosis), lesion_id=list(lesions))
    prepare(store, "demo")
    return store


def test_planted_copies_are_removed_grouped_and_reported(tmp_path: Path) -> None:
    store = planted(tmp_path)
    stage.run(store, params("demo"))
    edges, groups = store.read(Duplicates), store.read(Groups)
    expect_lawful(edges, groups)
    removed = groups.dropna(subset="duplicate_of").set_index("image_id")["duplicate_of"].to_dict()
    copies = ("5_bytes.jpg", "6_mirrored.jpg", "7_cropped.jpg")
    assert removed == {f"demo:{name}": "demo:0.jpg" for name in copies}
    assert dict(zip(groups["image_id"], groups["group_id"], strict=True))["demo:4.jpg"] == "demo:3.jpg"
    assert groups["group_id"].nunique() == 4
    conflicts = pd.read_csv(tmp_path / "reports/dedup/conflicts.csv")
    assert {*conflicts["a"], *conflicts["b"]} >= {"demo:0.jpg", "demo:7_cropped.jpg"}
    assert conflicts["across_diagnoses"].all()
    assert conflicts["across_lesions"].all()
    summary = json.loads((tmp_path / "reports/dedup/summary.json").read_text())
    assert summary["removed"] == 3
    assert summary["conflicts"]["across_lesions"]["copy"] == len(conflicts)
    assert sum(summary["images_by_split"].values()) == 8
    assert len(list((tmp_path / "reports/dedup/pictures").glob("*_copy.png"))) == 3
    assert store.vectors(Duplicates, "transform").shape == (len(edges), 9)


@pytest.mark.pipeline
def test_tasks_and_workers_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for name, size, cores in (("few", 1000, 1), ("many", 4, 2)):
        monkeypatch.setattr(verify, "PAIRS_A_TASK", size)
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        stage.run(planted(tmp_path / name), params("demo"))
        files = sorted(p for part in ("data/dedup", "reports") for p in (tmp_path / name / part).rglob("*.*"))
        written.append([(p.name, p.read_bytes()) for p in files])
    assert written[0] == written[1]


def test_a_batch_without_findings_still_gets_all_its_outs(tmp_path: Path) -> None:
    store = ingest(tmp_path, {"0.jpg": jpeg(lesion(0))})
    prepare(store, "demo")
    stage.run(store, params("demo"))
    assert len(store.read(Duplicates)) == 0
    assert len(store.read(Groups)) == 1
    assert list((tmp_path / "reports/dedup/pictures").iterdir()) == []


def test_copies_are_found_across_batches_in_any_order(tmp_path: Path) -> None:
    for batch in ("b", "a"):
        store = ingest(tmp_path, {f"{seed}.jpg": jpeg(lesion(seed), 80 + len(batch)) for seed in range(2)}, batch=batch)
        prepare(store, batch)
    store = Store(tmp_path)
    stage.run(store, params("b", "a"))
    assert store.read(Groups)["duplicate_of"].tolist()[2:] == ["a:0.jpg", "a:1.jpg"]
    assert store.read(Duplicates)[["a", "b"]].to_numpy().tolist() == [["a:0.jpg", "b:0.jpg"], ["a:1.jpg", "b:1.jpg"]]


def test_vectors_of_two_encoders_are_refused(tmp_path: Path) -> None:
    for batch in ("a", "b"):
        store = ingest(tmp_path, {"0.jpg": jpeg(lesion(0))}, batch=batch)
        prepare(store, batch, encoder=batch)
    with pytest.raises(UserError, match="cannot be compared"):
        stage.run(Store(tmp_path), params("a", "b"))
