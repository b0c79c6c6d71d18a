"""Every bad file that we could think of, through the real stages: nothing crashes and every file is accounted for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.commands.audit_split.command import CROSSED
from pipeline.commands.main import main
from pipeline.core.shards import decode
from pipeline.core.store import Store
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.dedup.stage import run as dedup
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import Embeddings
from pipeline.stages.fingerprint.greys import read_grey
from pipeline.stages.fingerprint.hashes import perceptual_hashes, shrink
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.fingerprint.quality import measure
from pipeline.stages.fingerprint.stage import run as fingerprint
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.normalise import normalise, pixel_digest
from pipeline.stages.ingest.rows import RejectedError
from pipeline.stages.ingest.stage import run as ingest
from pipeline.stages.ingest.tables import Images, Rejects, open_pixels
from tests import params
from tests.poison import IMAGE, draw, odd_files
from tests.stages.ingest.layouts import make_params


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, str]]:
    """Ingest the corpus; return the store, and what is expected of each file."""
    root = tmp_path_factory.mktemp("poison")
    (root / "taxonomies").mkdir()
    expected = draw(root / "data/raw/one/nevus")
    accepting = make_params("folder", taxonomy="as_given", max_pixels=10_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.cpu_count", lambda: 1)
        ingest(Store(root), accepting, "one")
        fingerprint(Store(root), FingerprintParams(engine="local", **params.section("fingerprint")), "one")
        embed(Store(root))
        given = {"batches": ["one"], "encoder": "clip", "engine": "local", "split": params.section("split")}
        dedup(Store(root), DedupParams.model_validate(given | params.section("dedup")))
    return Store(root), {f"nevus/{name}": expectation for name, expectation in expected.items()}


def embed(store: Store) -> None:
    """Stand in for the encoder, which sees decoded pixels only."""
    images = store.read(Images, "one")
    vectors = np.random.default_rng(0).normal(size=(len(images), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    frame = pd.DataFrame({"image_id": images["image_id"], "encoder": "drawn"})
    store.write(Embeddings, frame, instance="clip/one", vectors={"vector": vectors})


def test_every_file_becomes_an_image_or_a_reject_with_the_right_reason(poisoned: tuple[Store, dict[str, str]]) -> None:
    store, expected = poisoned
    images, rejects = store.read(Images, "one"), store.read(Rejects, "one")
    found = dict.fromkeys(images["image_id"].str.removeprefix("one:"), IMAGE)
    assert not set(found) & set(rejects["source_id"])
    found |= dict(zip(rejects["source_id"], rejects["reason"], strict=True))
    assert found == expected


def test_a_reject_says_what_is_wrong_in_one_line_that_names_no_address(poisoned: tuple[Store, dict[str, str]]) -> None:
    details = poisoned[0].read(Rejects, "one")["detail"]
    assert details.map(len).between(1, 300).all()
    assert not details.str.contains(r"\n| at 0x", regex=True).any()


def test_every_image_is_stored_decodable_and_as_the_table_says(poisoned: tuple[Store, dict[str, str]]) -> None:
    store, _ = poisoned
    images = store.read(Images, "one")
    pixels = open_pixels(store, images)
    for position, (width, height, digest) in enumerate(images[["width", "height", "pixel_sha256"]].to_numpy()):
        decoded = pixels[position]
        assert decoded.shape == (height, width, 3)
        assert pixel_digest(Image.fromarray(decoded)) == digest


def test_every_image_has_finite_scores_and_a_split(poisoned: tuple[Store, dict[str, str]]) -> None:
    store, _ = poisoned
    ids = store.read(Images, "one")["image_id"].tolist()
    prints, groups = store.read(Fingerprints, "one"), store.read(Groups)
    assert prints["image_id"].tolist() == ids
    assert np.isfinite(prints.select_dtypes("number").to_numpy()).all()
    assert sorted(groups["image_id"]) == sorted(ids)


def test_equal_pixels_are_known_however_they_are_wrapped(poisoned: tuple[Store, dict[str, str]]) -> None:
    wrapped = ["plain.jpg", "plain, its copy.jpg", "plain, as.png", "really a jpeg.png", "garbage behind.jpg"]
    wrapped += [
        "a zip behind.jpg",
        "broken exif.jpg",
        "exif in a circle.jpg",
        "broken profile.jpg",
        "many comments.jpg",
    ]
    edges = poisoned[0].read(Duplicates)
    ids = {f"one:nevus/{name}" for name in wrapped}
    inside = edges[edges["a"].isin(ids) & edges["b"].isin(ids)]
    assert len(inside) == len(ids) - 1
    assert set(inside["evidence"]) == {"pixels"}


def test_what_shows_nothing_is_proven_by_equal_pixels_only(poisoned: tuple[Store, dict[str, str]]) -> None:
    edges = poisoned[0].read(Duplicates)
    featureless = ("black", "white", "one colour", "one pixel", "a row", "a column", "long", "tall", "smaller than")
    for end in ("a", "b"):
        found = edges[edges[end].str.removeprefix("one:nevus/").str.startswith(featureless)]
        assert "geometry" not in set(found["evidence"])


def test_audit_split_reads_the_poison_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    expected = draw(tmp_path / "images/train")
    (tmp_path / "images/test").mkdir()
    shutil.copy(tmp_path / "images/train/plain.jpg", tmp_path / "images/test/plain.jpg")
    assert main(["audit-split", "images"]) == CROSSED
    rejects = pd.read_csv(tmp_path / "reports/audit_split/rejects.csv")
    found = dict(zip(rejects["source_id"].str.removeprefix("train/"), rejects["reason"], strict=True))
    limits = ("bomb.zip/a.jpg",)  # is allowed by the demo's limits, and then no image
    assert {name: reason for name, reason in found.items() if name not in limits} == {
        name: reason for name, reason in expected.items() if reason != IMAGE and name not in limits
    }
    assert "pairs cross the split" in capsys.readouterr().out


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite, cut out or insert some bytes, at the beginning or anywhere."""
    result, place = bytearray(content), int(rng.integers(len(content)))
    kind = rng.integers(4)
    if kind < 2:
        for byte in rng.integers(0, min(len(content), (600, 10**9)[kind]), rng.integers(1, 6)):
            result[byte] = rng.integers(256)
    elif kind == 2:
        del result[place : place + int(rng.integers(1, 300))]
    else:
        result[place:place] = rng.bytes(int(rng.integers(1, 300)))
    return bytes(result)


def test_what_ingest_accepts_of_damaged_files_can_be_decoded_and_fingerprinted() -> None:
    outcomes = set[str]()
    files = [content for content, _ in odd_files().values() if len(content) < 50_000]
    for seed in range(300):
        try:
            image = normalise(damaged(files[seed % len(files)], np.random.default_rng(seed)), max_pixels=1_000_000)
        except RejectedError as error:
            outcomes.add(error.reason)
            continue
        decoded, grey = decode(image.content), read_grey(image.content)
        assert decoded.shape == (image.height, image.width, 3) == (grey.height, grey.width, 3)
        squares = shrink([grey.levels])
        (quality,) = measure([grey], squares)
        assert np.isfinite(quality).all()
        assert perceptual_hashes(squares).shape == (1, 8, 32)
        outcomes.add(image.stored_as)
    assert {"received", "stripped", "reencoded", "truncated", "undecodable"} <= outcomes
