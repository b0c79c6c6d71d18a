"""A steward's session: what is shown is prepared, held open, and what was tagged is recorded."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil

from pipeline import params
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.replay import Verdicts
from pipeline.review.dataset import Dataset, launch, open_dataset, read_tags, remove_tags, show_decisions
from pipeline.review.decide import now
from pipeline.review.effects import read_curated, replay_ledger
from pipeline.review.samples import Samples
from pipeline.review.tags import decide


def prepare(root: Path, samples: Samples, pictures: Path) -> Dataset:
    """Open the dataset with the decisions that are in force."""
    dataset = open_dataset(samples, pictures)
    show_decisions(dataset, _verdicts(root))
    return dataset


def _verdicts(root: Path) -> Verdicts:
    """Replay the ledger as it is now, with what `params.yaml` says of signatures."""
    curated = read_curated(Store(root), params.read_tree(root / "params.yaml"))
    return replay_ledger(curated, file.read(root / PATH).decisions)


def hold(dataset: Dataset, *, address: str, port: int, browser: bool) -> None:
    """Keep the App open until Ctrl-C, or until the process is asked to end or its terminal is closed.

    Raises:
        UserError: something listens on the port; FiftyOne would take it for its own server and share its session.

    """
    if any(c.status == psutil.CONN_LISTEN and c.laddr[1] == port for c in psutil.net_connections("tcp") if c.laddr):
        raise UserError(f"port {port} is taken by another program: choose another with --port")
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)
    session = launch(dataset, address=address, port=port, browser=browser)
    try:
        print(f"the App is at {session.url}: tag with verdicts, then press Ctrl-C here, which records them", flush=True)
        session.wait(-1)
    except KeyboardInterrupt:
        print()
    # Nothing may be tagged from now on; and asked politely, the server would wait for browser tabs to be closed.
    for process in psutil.Process().children(recursive=True):
        if process.name() != "mongod":
            process.kill()
    session.close()


def save(root: Path, samples: Samples, dataset: Dataset, *, steward: str) -> list[str]:
    """Append the decisions that the tags stand for, then take those tags away; return what could not be recorded."""
    rows = samples.rows
    outcome = decide(
        rows, read_tags(dataset), _verdicts(root), diagnoses=set(rows["diagnosis"]), steward=steward, decided_at=now()
    )
    if outcome.decisions:
        file.append(root, outcome.decisions)
    remove_tags(dataset, outcome.settled)
    show_decisions(dataset, _verdicts(root))
    print(f"recorded {len(outcome.decisions)} decisions of {steward} in {PATH}")
    for problem in outcome.problems:
        print(f"not recorded: {problem}", file=sys.stderr)
    return outcome.problems
