from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.ingest import packing
from pipeline.stages.ingest.labels import diagnose, named_taxonomy
from pipeline.stages.ingest.packing import cut, write_shard
from pipeline.stages.ingest.rows import Entry, Locator
from pipeline.stages.ingest.sources.readers import READERS
from pipeline.stages.ingest.stage import run
from pipeline.stages.ingest.tables import Images, Rejects, open_pixels
from tests.stages.ingest.layouts import (
    decoded,
    draw_folder,
    draw_ham10000,
    draw_isic,
    encoded,
    jpeg,
    make_params,
    picture,
)

TAXONOMIES = Path(__file__).parents[3] / "taxonomies"
LAYOUTS: dict[str, Callable[[Path], None]] = {"ham10000": draw_ham10000, "isic": draw_isic, "folder": draw_folder}


def project(root: Path, source: str) -> Store:
    shutil.copytree(TAXONOMIES, root / "taxonomies")
    LAYOUTS[source](root / "data/raw/one")
    return Store(root)


def ingest(store: Store, source: str, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the stage; return Images and Rejects by id, after checking what holds of every run."""
    run(store, make_params(source, **changes), "one")
    images, rejects = store.read(Images, "one"), store.read(Rejects, "one")
    report = json.loads((store.root / "reports/ingest/one.json").read_text("utf-8"))
    assert report["raw_rows"] == len(images) + len(rejects)
    assert (report["images"], report["rejects"]) == (len(images), len(rejects))
    assert report["rejects_by_reason"] == rejects["reason"].value_counts().to_dict()
    for row in images.to_dict("records"):
        path = store.root / "data/ingest/one" / row["shard"]
        assert 0 < row["offset"] < row["offset"] + row["size"] <= path.stat().st_size
    return images.set_index("image_id"), rejects.set_index("source_id")


def bomb() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(picture()), "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize("source", LAYOUTS)
def test_every_layout_becomes_images_in_shards(source: str, tmp_path: Path) -> None:
    store = project(tmp_path, source)
    images, rejects = ingest(store, source)
    assert rejects.empty
    pixels = open_pixels(store, images.reset_index())
    assert len(images) == {"ham10000": 4, "isic": 3, "folder": 3}[source]
    assert all((pixels[i] == decoded(jpeg(i))).all() for i in range(len(images)))
    assert store.reads == {"data/raw/one", "taxonomies"} | {p for p in store.reads if p.startswith("data/ingest/one/")}
    assert store.writes == {
        "data/ingest/one/shards",
        "data/ingest/one/images.parquet",
        "data/ingest/one/rejects.parquet",
        "reports/ingest/one.json",
    }


def test_bad_input_is_accounted_for_and_the_run_goes_on(tmp_path: Path) -> None:
    store = project(tmp_path, "folder")
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[..., 1:3] = 255
    inks[4:, :, 1:3] = 252
    bad = {
        "truncated.jpg": jpeg()[:400],
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "cmyk.jpg": encoded(Image.frombytes("CMYK", (8, 8), inks.tobytes()), "JPEG"),
        "turned.jpg": turned(),
        "deep.png": encoded(Image.fromarray(np.tile(np.array([0x80FF, 0x81FF], np.uint16), (8, 4))), "PNG"),
        "bomb.png": bomb(),
        "empty.jpg": b"",
        "readme.txt": b"words",
    }
    for name, content in bad.items():
        (tmp_path / "data/raw/one/Melanoma" / name).write_bytes(content)
    (tmp_path / "data/raw/one/misc").mkdir()
    (tmp_path / "data/raw/one/misc/1.jpg").write_bytes(jpeg())
    (tmp_path / "data/raw/one/loose.jpg").write_bytes(jpeg())
    images, rejects = ingest(store, "folder")
    assert rejects["reason"].to_dict() == {
        "Melanoma/truncated.jpg": "truncated",
        "Melanoma/page.jpg": "not_an_image",
        "Melanoma/bomb.png": "too_large",
        "Melanoma/empty.jpg": "empty_file",
        "Melanoma/readme.txt": "not_an_image",
        "misc/1.jpg": "unknown_label",
        "loose.jpg": "no_label",
    }
    assert rejects.loc["misc/1.jpg", "detail"] == "misc"
    pixels = open_pixels(store, images.reset_index())
    shown = {name: pixels[i] for i, name in enumerate(images.index)}
    assert np.abs(shown["one:Melanoma/cmyk.jpg"].astype(int) - [255, 0, 0]).max() <= 4
    assert (shown["one:Melanoma/turned.jpg"] == np.rot90(decoded(turned()), -1)).all()
    assert set(shown["one:Melanoma/deep.png"].ravel()) == {0x80, 0x81}
    assert (images["width"]["one:Melanoma/turned.jpg"], images["height"]["one:Melanoma/turned.jpg"]) == (24, 32)


def test_rows_and_images_without_each_other_are_rejects(tmp_path: Path) -> None:
    store = project(tmp_path, "isic")
    (tmp_path / "data/raw/one/ISIC_0000000.jpg").rename(tmp_path / "data/raw/one/ISIC_7.jpg")
    images, rejects = ingest(store, "isic")
    assert len(images) == 2
    assert rejects["reason"].to_dict() == {"ISIC_0000000": "image_missing", "ISIC_7": "metadata_missing"}


def test_what_the_source_says_stands_in_the_table_and_beside_the_image(tmp_path: Path) -> None:
    store = project(tmp_path, "isic")
    images, _ = ingest(store, "isic")
    row = images.to_dict("index")["one:ISIC_0000000"]
    assert (row["diagnosis"], row["raw_label"], row["licence"]) == ("nevus", "Nevus", "CC-BY-NC-4.0")
    assert (row["lesion_id"], row["patient_id"], row["age"]) == ("one:IL_1", "one:IP_1", 55)
    with tarfile.open(tmp_path / "data/ingest/one" / row["shard"]) as tar:
        assert tar.getnames()[:2] == ["00000000.jpg", "00000000.json"]
        side = tar.extractfile("00000000.json")
        assert side is not None
        beside = json.loads(side.read())
    assert beside.items() >= {"image_id": "one:ISIC_0000000", "attribution": "A Hospital, Vienna"}.items()
    assert beside["stored_sha256"] == row["stored_sha256"]


def test_a_shard_is_read_by_tarfile_where_the_offsets_say(tmp_path: Path) -> None:
    store = project(tmp_path, "ham10000")
    images, _ = ingest(store, "ham10000")
    for number, row in enumerate(images.to_dict("records")):
        with tarfile.open(tmp_path / "data/ingest/one" / row["shard"]) as tar:
            members = {member.offset_data: member for member in tar}
            content = tar.extractfile(members[row["offset"]])
            assert content is not None
            assert content.read() == jpeg(number)


def test_too_many_rejects_stop_the_run_with_their_reasons(tmp_path: Path) -> None:
    store = project(tmp_path, "folder")
    (tmp_path / "data/raw/one/Melanoma/page.jpg").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"batch one: 1 of 4 rows are rejected \(1 not_an_image\)") as error:
        ingest(store, "folder", max_reject_share=0.2)
    assert "\n" not in str(error.value)
    assert not store.writes
    assert not list(tmp_path.glob("data/ingest/one/[!.]*"))
    ingest(store, "folder", max_reject_share=0.25)


def test_a_wrong_taxonomy_stops_the_run_before_a_pixel_is_read(tmp_path: Path) -> None:
    store = project(tmp_path, "folder")
    (tmp_path / "taxonomies/mine.csv").write_text("raw,diagnosis\nx,y\n", "utf-8")
    with pytest.raises(UserError, match="3 unknown_label such as 'Melanoma', 'Melanocytic nevus'"):
        ingest(store, "folder", taxonomy="mine", max_reject_share=0.5)
    assert not (tmp_path / "data/ingest").exists()


def test_an_empty_batch_is_refused(tmp_path: Path) -> None:
    store = project(tmp_path, "folder")
    shutil.rmtree(tmp_path / "data/raw/one")
    (tmp_path / "data/raw/one").mkdir()
    with pytest.raises(UserError, match="data/raw/one holds no image"):
        ingest(store, "folder")


def test_a_batch_of_which_nothing_is_accepted_leaves_empty_tables(tmp_path: Path) -> None:
    store = project(tmp_path, "folder")
    for path in tmp_path.glob("data/raw/one/**/*.jpg"):
        path.write_bytes(b"")
    images, rejects = ingest(store, "folder")
    assert (len(images), len(rejects)) == (0, 3)


def written(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "data/ingest").rglob("*") if path.is_file()}


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ingest(project(tmp_path / name, "ham10000"), "ham10000")
    assert written(tmp_path / "a") == written(tmp_path / "b")
    assert len(written(tmp_path / "a")) == 3


@pytest.mark.pipeline
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "IMAGES_PER_SHARD", 3)
    for workers in (1, 2):
        monkeypatch.setattr(os, "cpu_count", lambda found=workers: found)
        ingest(project(tmp_path / str(workers), "ham10000"), "ham10000")
    assert written(tmp_path / "1") == written(tmp_path / "2")
    assert sorted(written(tmp_path / "1")) == ["00000.tar", "00001.tar", "images.parquet", "rejects.parquet"]


def test_entries_are_cut_into_shards_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "IMAGES_PER_SHARD", 2)
    entries = [
        Entry(source_id=name, locator=Locator(name), labels=(), licence="x", attribution="y") for name in "dbeac"
    ]
    shards = cut(entries)
    assert ["".join(entry.source_id for entry in shard.entries) for shard in shards] == ["ab", "cd", "e"]
    assert [(shard.number, shard.first) for shard in shards] == [(0, 0), (1, 2), (2, 4)]


def test_keyed_ids_leave_no_name_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_ID_KEY", "a key of the clinic, kept outside")
    store = project(tmp_path, "isic")
    (tmp_path / "data/raw/one/ISIC_0000002.jpg").write_bytes(jpeg(5, comment=b"ISIC_0000002 of patient IP_1"))
    (tmp_path / "data/raw/one/ISIC_9999999.jpg").write_bytes(jpeg())
    (tmp_path / "data/raw/one/ISIC_0000001.jpg").write_bytes(b"")
    images, rejects = ingest(store, "isic", ids="keyed")
    assert (len(images), sorted(rejects["reason"])) == (2, ["empty_file", "metadata_missing"])
    assert images["lesion_id"].dropna().str.fullmatch(r"one:[0-9a-f]{32}").all()
    everything = [*tmp_path.glob("data/ingest/**/*"), *tmp_path.glob("reports/**/*")]
    for path in (path for path in everything if path.is_file()):
        frames = [pd.read_parquet(path).to_csv().encode()] if path.suffix == ".parquet" else [path.read_bytes()]
        for secret in (b"ISIC_", b"IL_1", b"IP_1"):
            assert secret not in b"".join([path.name.encode(), *frames]), (path, secret)


def test_keyed_ids_stay_equal_where_ids_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_ID_KEY", "a key of the clinic, kept outside")
    store = project(tmp_path, "ham10000")
    images, _ = ingest(store, "ham10000", ids="keyed")
    assert sorted(images["lesion_id"].value_counts()) == [1, 1, 2]


def test_keyed_ids_need_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = project(tmp_path, "isic")
    for key, state in ((None, "is not set"), ("short", "has 5 characters")):
        monkeypatch.delenv("CURATION_ID_KEY", raising=False)
        if key:
            monkeypatch.setenv("CURATION_ID_KEY", key)
        with pytest.raises(UserError, match=f"CURATION_ID_KEY {state}"):
            ingest(store, "isic", ids="keyed")


def test_webdataset_keys_hold_no_dot(tmp_path: Path) -> None:
    store = project(tmp_path, "folder")
    (tmp_path / "data/raw/one/Melanoma/a.b.c.jpg").write_bytes(jpeg())
    ingest(store, "folder")
    for shard in tmp_path.glob("data/ingest/one/shards/*.tar"):
        with tarfile.open(shard) as tar:
            assert all(name.count(".") == 1 and "/" not in name for name in tar.getnames())


@pytest.mark.parametrize(
    ("batch", "source", "expected"), [("ham10000", "ham10000", 10_015), ("dermnet12", "folder", 1_845)]
)
def test_real_archives_are_read_whole(batch: str, source: str, expected: int, tmp_path: Path) -> None:
    real = Path(__file__).parents[3] / "../shared/data" / batch
    if not real.exists():
        pytest.skip(f"the real {batch} is not at {real}")
    listing = READERS[source](real.resolve(), licence="x", attribution="y")
    diagnosed = diagnose(listing, named_taxonomy(TAXONOMIES, "lesions"))
    assert (len(diagnosed.entries), len(diagnosed.rejects)) == (expected, 0)
    tables = write_shard(
        cut(diagnosed.entries[:20])[0],
        raw=real.resolve(),
        shards=tmp_path,
        batch="one",
        limits=make_params(source, max_pixels=10**8).limits,
    )
    assert (len(tables[0]), tables[1]) == (20, [])
    with Image.open(io.BytesIO((tmp_path / "00000.tar").read_bytes()[tables[0]["offset"][0] :])) as first:
        assert first.format == "JPEG"
