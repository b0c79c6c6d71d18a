"""The desk inside the App's server, opened once, whatever FiftyOne does with the panel's file."""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.review import spool
from pipeline.review.desk import Desk, open_desk

VARIABLE = "SKIN_CURATION_DESK"  # in the server's environment: the file that `Desk.save` wrote
RETRY_S, POLL_S = 1.0, 0.05


_opening = threading.Lock()


def served_desk() -> Desk:
    """Return the desk of this server, opened by whoever asks first."""
    with _opening:
        return _open()


def open_ahead() -> None:
    """Begin to open the desk, while the browser still loads the App."""
    threading.Thread(target=served_desk, daemon=True).start()


@cache
def _open() -> Desk:
    """Open the desk, and see to it that what waits for DVC reaches the ledger."""
    session = Path(os.environ[VARIABLE])
    while not session.exists():  # the server comes up while the cases are prepared
        time.sleep(POLL_S)
    desk = open_desk(session)
    threading.Thread(target=_retry, args=(desk,), daemon=True).start()
    return desk


def _retry(desk: Desk) -> None:
    while True:
        time.sleep(RETRY_S)
        if spool.waiting(desk.spool):
            try:
                desk.retry()
            except UserError:
                continue  # the ledger is broken: the next key says so, and so does the end of the session
