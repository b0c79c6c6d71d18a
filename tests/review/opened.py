"""`python -m pipeline review` in a process of its own, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


class Opened:
    """A session that is open from the beginning of the block."""

    def __init__(self, root: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["review", "--no-browser", "--port", str(self.port), *options]
        self._log = root / f"session-{self.port}.log"
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "pipeline", *words],
                cwd=root,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while "ssh -N -L" not in self.output and self.process.poll() is None:
            time.sleep(0.1)
        assert self.process.poll() is None, self.output
        found = re.search(r"the App is at (\S+)", self.output)
        assert found
        self.url = found[1]

    @property
    def output(self) -> str:
        return self._log.read_text()

    def end(self) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end()
