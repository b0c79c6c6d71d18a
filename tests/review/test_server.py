from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from pipeline.core.errors import UserError
from pipeline.review import server
from pipeline.review.server import LOG, Server

LISTENS = """
import socket, sys, time
with socket.create_server((sys.argv[4], int(sys.argv[2]))):
    time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ping(url: str) -> None:
    address, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    socket.create_connection((address, int(port)), timeout=5).close()


@pytest.fixture
def fiftyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for FiftyOne's folder; return its server's script."""
    monkeypatch.setattr(server, "fiftyone_folder", lambda: tmp_path)
    (tmp_path / "server").mkdir()
    return tmp_path / "server/main.py"


def test_it_is_up_until_the_block_ends_and_then_nothing_of_it_is_left(tmp_path: Path, fiftyone: Path) -> None:
    fiftyone.write_text(LISTENS)
    with Server(tmp_path / "desk", address="127.0.0.1", port=free_port()) as opened:
        opened.wait_until_answering(ping)
        assert opened.port in server.listening()
        with pytest.raises(UserError, match="is taken by another program"):
            Server(tmp_path / "desk", address="127.0.0.1", port=opened.port)
        [child] = [one for one in psutil.Process().children() if str(opened.port) in one.cmdline()]
    assert not child.is_running()
    assert opened.port not in server.listening()
    opened.stop()  # FiftyOne's session ends it once more


def test_one_that_dies_says_where_its_words_are(tmp_path: Path, fiftyone: Path) -> None:
    fiftyone.write_text("raise SystemExit('no database')")
    opened = Server(tmp_path / "desk", address="127.0.0.1", port=free_port())
    with opened, pytest.raises(UserError, match=LOG):
        opened.wait_until_answering(ping)
    assert "no database" in (tmp_path / "desk" / LOG).read_text()
