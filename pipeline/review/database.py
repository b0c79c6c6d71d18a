"""A MongoDB of the project's own.

FiftyOne would attach to any MongoDB that it finds the user running, be it another project's, and show or write there.
So we start the one that its package carries, on the project's own folder, on a free port of this machine alone.
"""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.core.errors import UserError
from pipeline.core.lock import die_with_parent

START_S = 600.0  # against hanging: one that ends is noticed at once


@contextmanager
def mongod(folder: Path) -> Iterator[str]:
    """Run MongoDB on `folder` while the block lasts; yield its URI.

    It has a session of its own, so that Ctrl-C ends the App first and the database last; it dies with this process.

    Raises:
        UserError: it is not installed, or does not start.

    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder / "mongod.log"
    place = ["--dbpath", str(folder), "--logpath", str(log), "--bind_ip", "127.0.0.1", "--port", "0", "--nounixsocket"]
    process = psutil.Popen(
        [str(_binary()), *place, "--wiredTigerCacheSizeGB", "0.5"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield f"mongodb://127.0.0.1:{_port(process, log)}"
    finally:
        process.terminate()
        process.wait()


def fiftyone_folder() -> Path:
    """Find where FiftyOne is installed, without importing it: that takes seconds and wants the database first.

    Raises:
        UserError: it is not.

    """
    spec = importlib.util.find_spec("fiftyone")
    if spec is None or not spec.origin:
        raise UserError("FiftyOne is not installed: run `make .venv/installed`")
    return Path(spec.origin).parent


def _binary() -> Path:
    path = fiftyone_folder() / "db/bin/mongod"
    if not path.exists():
        raise UserError("FiftyOne's MongoDB is not installed: run `make .venv/installed`")
    return path


def _port(process: psutil.Popen, log: Path) -> int:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
        time.sleep(0.05)
    raise UserError(f"MongoDB did not start on {log.parent}: {log} says why")
