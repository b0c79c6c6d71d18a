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
RETRY_S = 1.0


@cache
def served_desk() -> Desk:
    """Open the desk of this server, and see to it that what waits for DVC reaches the ledger."""
    desk = open_desk(Path(os.environ[VARIABLE]))
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
