"""The App's server, in a process of its own.

FiftyOne starts one too, but late and slowly: it must be imported here before, imports itself once more in a process
that watches, and then in the server. This one is asked for first of all, and imports while the tables are read.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from pipeline.core.errors import UserError
from pipeline.core.lock import die_with_parent
from pipeline.review.database import fiftyone_folder

LOG = "server.log"  # in a desk's folder
START_S = 600.0  # against hanging: one that ends is noticed at once


class Server:
    """A server that is starting, or up; it ends with the block, and dies with this process.

    Args:
        folder: of the desk, for its log.
        address: to listen on.
        port: likewise.

    Raises:
        UserError: something listens on the port; FiftyOne would take it for its own server and share its session.

    """

    def __init__(self, folder: Path, *, address: str, port: int) -> None:
        if port in listening():
            raise UserError(f"port {port} is taken by another program: choose another with --port")
        self.address, self.port, self._log = address, port, folder / LOG
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._log.open("wb") as log:
            self._process = psutil.Popen(
                [sys.executable, "main.py", "--port", str(port), "--address", address],
                cwd=fiftyone_folder() / "server",
                env={**os.environ, "FIFTYONE_DISABLE_SERVICES": "1"},  # its own database; it takes the name away
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process
                preexec_fn=die_with_parent,
            )

    def wait_until_answering(self, ping: Callable[[str], object]) -> None:
        """Wait until it answers.

        Args:
            ping: asks an address, and raises OSError where nobody answers.

        Raises:
            UserError: it ends, or does not answer within `START_S`.

        """
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                ping(f"http://{self.address}:{self.port}/fiftyone")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise UserError(f"FiftyOne's server does not answer on port {self.port}: {self._log} says why")

    def stop(self) -> None:  # so FiftyOne calls it when its session is closed
        """Kill it: nothing may be tagged from now on, and politely asked it would wait for browser tabs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*self._process.children(recursive=True), self._process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def listening() -> set[int]:
    """List the ports that programs on this machine listen on."""
    connections = psutil.net_connections("tcp")
    return {c.laddr[1] for c in connections if c.status == psutil.CONN_LISTEN and c.laddr}
