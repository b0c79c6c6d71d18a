from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import UserError
from pipeline.fetch import ham10000
from pipeline.stages.ingest.sources.readers import READERS
from tests.stages.ingest.layouts import draw_ham10000

BATCH = "data/raw/ham10000"


class Dataverse(ThreadingHTTPServer):
    """A record on the loopback; `cut_after` ends every answer early, `ranges` collects what was asked for."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.cut_after: int | None = None
        self.ranges: list[str] = []
        self.md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}  # noqa: S324 - the record's

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self) -> dict[str, Any]:
        entries = []
        for number, (name, content) in enumerate(self.files.items()):
            entry: dict[str, Any] = {"id": number, "filename": name, "md5": self.md5[name], "filesize": len(content)}
            if name == "HAM10000_metadata":  # converted: another name and size, but the digest of the original
                entry |= {"filename": f"{name}.tab", "filesize": 1, "originalFileName": name}
                entry |= {"originalFileFormat": "text/csv", "originalFileSize": len(content)}
            entries.append({"dataFile": entry})
        return {"status": "OK", "data": {"latestVersion": {"files": entries}}}


class Answer(BaseHTTPRequestHandler):
    server: Dataverse

    def do_GET(self) -> None:
        if self.path == f"/api/datasets/:persistentId/?persistentId=doi:{ham10000.DOI}":
            self.answer(json.dumps(self.server.record()).encode())
            return
        number, _, query = self.path.removeprefix("/api/access/datafile/").partition("?")
        name = list(self.server.files)[int(number)]
        converted = name == "HAM10000_metadata" and query != "format=original"
        content = b"converted" if converted else self.server.files[name]
        first = 0
        if wanted := self.headers["Range"]:
            self.server.ranges.append(wanted)
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.answer(content[first:], status=206 if wanted else 200)

    def answer(self, content: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_after])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def published(tmp_path: Path) -> Path:
    draw_ham10000(tmp_path / "published")
    return tmp_path / "published"


@pytest.fixture
def dataverse(published: Path) -> Iterator[Dataverse]:
    with Dataverse({path.name: path.read_bytes() for path in published.iterdir()}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(root: Path, *arguments: str) -> list[Path]:
    parser = argparse.ArgumentParser()
    ham10000.add_arguments(parser)
    return ham10000.run(root, parser.parse_args(arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_archives_of_a_folder_become_a_batch_that_can_be_read(published: Path, tmp_path: Path) -> None:
    assert fetch(tmp_path, "--from", str(published)) == [tmp_path / BATCH]
    assert contents(tmp_path / BATCH) == contents(published)
    assert len(READERS["ham10000"](tmp_path / BATCH, licence="x", attribution="y").entries) == 4


def test_a_batch_shares_no_file_with_the_folder(published: Path, tmp_path: Path) -> None:
    fetch(tmp_path, "--from", str(published))
    for path in published.iterdir():
        assert not path.samefile(tmp_path / BATCH / path.name)


def test_fetching_again_replaces_a_table_of_another_name(published: Path, tmp_path: Path) -> None:
    fetch(tmp_path, "--from", str(published))
    (published / "HAM10000_metadata").rename(published / "HAM10000_metadata.csv")
    fetch(tmp_path, "--from", str(published))
    assert contents(tmp_path / BATCH) == contents(published)


def test_all_missing_archives_are_named_in_one_sentence(published: Path, tmp_path: Path) -> None:
    (published / "HAM10000_images_part_2.zip").unlink()
    (published / "HAM10000_metadata").unlink()
    with pytest.raises(UserError, match=r"lacks HAM10000_images_part_2\.zip, HAM10000_metadata: name the folder"):
        fetch(tmp_path, "--from", str(published))
    assert not contents(tmp_path / BATCH)


def test_the_masks_are_not_required(published: Path, tmp_path: Path) -> None:
    (published / ham10000.MASKS).unlink()
    fetch(tmp_path, "--from", str(published))
    assert len(contents(tmp_path / BATCH)) == 3


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_zip_is_not_taken(damage: str, published: Path, tmp_path: Path) -> None:
    path = published / "HAM10000_images_part_2.zip"
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content if damage == "flip" else content[:-100])
    with pytest.raises(
        UserError, match=r"HAM10000_images_part_2\.zip is (damaged at|not a readable zip).*download it again"
    ):
        fetch(tmp_path, "--from", str(published))
    assert not contents(tmp_path / BATCH)


def test_the_record_is_downloaded_as_it_was_published(dataverse: Dataverse, published: Path, tmp_path: Path) -> None:
    fetch(tmp_path, "--server", f"{dataverse.url}/")
    assert contents(tmp_path / BATCH) == contents(published)


def test_what_is_there_and_whole_is_not_downloaded_again(dataverse: Dataverse, tmp_path: Path) -> None:
    fetch(tmp_path, "--server", dataverse.url)
    before = {path: path.stat().st_ino for path in (tmp_path / BATCH).iterdir()}
    changed = tmp_path / BATCH / "HAM10000_metadata"
    changed.write_bytes(changed.read_bytes()[::-1])
    fetch(tmp_path, "--server", dataverse.url)
    assert [path for path, inode in before.items() if path.stat().st_ino != inode] == [changed]


def test_a_cut_download_goes_on_where_it_ended(dataverse: Dataverse, published: Path, tmp_path: Path) -> None:
    dataverse.cut_after = 1_000_000
    largest = max(published.iterdir(), key=lambda path: path.stat().st_size)
    size = largest.stat().st_size
    part = tmp_path / BATCH / f".{largest.name}.partial"
    part.parent.mkdir(parents=True)
    part.write_bytes(largest.read_bytes()[: size // 2])
    fetch(tmp_path, "--server", dataverse.url)
    assert dataverse.ranges == [f"bytes={size // 2}-"]
    assert contents(tmp_path / BATCH) == contents(published)


def test_a_server_that_cuts_every_answer_is_asked_for_the_rest(
    dataverse: Dataverse, published: Path, tmp_path: Path
) -> None:
    sizes = [path.stat().st_size for path in published.iterdir()]
    dataverse.cut_after = max(len(json.dumps(dataverse.record())), max(sizes) // 2 + 1)
    fetch(tmp_path, "--server", dataverse.url)
    assert dataverse.ranges
    assert contents(tmp_path / BATCH) == contents(published)


def test_a_wrong_digest_is_refused_and_not_kept(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.md5["HAM10000_images_part_1.zip"] = "0" * 32
    with pytest.raises(UserError, match=r"HAM10000_images_part_1\.zip came with .* run again"):
        fetch(tmp_path, "--server", dataverse.url)
    assert not contents(tmp_path / BATCH)


def test_a_record_without_an_archive_is_refused(dataverse: Dataverse, tmp_path: Path) -> None:
    del dataverse.files["HAM10000_images_part_1.zip"]
    with pytest.raises(UserError, match="lists no HAM10000_images_part_1 in"):
        fetch(tmp_path, "--server", dataverse.url)


def test_without_a_network_the_remedy_is_a_folder(tmp_path: Path) -> None:
    with Dataverse({}) as closed:
        url = closed.url
    with pytest.raises(UserError, match=r"cannot be reached .* --from FOLDER") as error:
        fetch(tmp_path, "--server", url)
    assert "\n" not in str(error.value)


def test_a_server_that_is_no_dataverse_is_said_to_be_none(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.record = lambda: {"status": "OK"}  # type: ignore[method-assign]
    with pytest.raises(UserError, match="does not describe doi:"):
        fetch(tmp_path, "--server", dataverse.url)
    with pytest.raises(UserError, match="is no web address"):
        fetch(tmp_path, "--server", "ftp://example.org")


def test_nothing_else_is_left_in_the_batch(dataverse: Dataverse, tmp_path: Path) -> None:
    fetch(tmp_path, "--server", dataverse.url)
    assert not [path for path in (tmp_path / BATCH).iterdir() if path.name.startswith(".")]
    shutil.rmtree(tmp_path / BATCH)
