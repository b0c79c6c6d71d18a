"""`python -m pipeline review`: open the curated dataset in the FiftyOne App, and record what stewards tag there.

FiftyOne serves any file that this process can read to whoever reaches its port, so it listens on this machine alone;
tunnel to it from elsewhere. One session a project: it owns the database.
"""

from __future__ import annotations

import atexit
import ipaddress
import os
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from pipeline import params
from pipeline.core import lock
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.ledger.file import count_waiting
from pipeline.review.database import mongod
from pipeline.review.decide import add_steward_arguments, offer_commit, steward_name
from pipeline.review.samples import read_samples
from pipeline.stages.rebalance.tables import HEADLINE_ARM

CACHE = "data/.cache/review"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("--save", action="store_true", help="record the tags of an earlier session, and end")
    add_steward_arguments(parser)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--port", type=int, default=5151, help="of the App (default: %(default)s)")
    parser.add_argument("--address", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")


def run(root: Path, options: Namespace) -> int:
    """Open the App until Ctrl-C (or record the waiting tags, with --save); return the exit status.

    Raises:
        UserError: the DAG has not run, the address is not loopback, or another session is open.

    """
    if not _is_loopback(options.address):
        raise UserError(
            f"--address {options.address} is not loopback: FiftyOne would serve this machine's files to others"
        )
    steward = steward_name(root, options.steward)
    tree = params.read_tree(root / "params.yaml")
    samples = read_samples(Store(root), tree["batches"], tree["encoders"][0])
    print(describe_waiting(root))
    start_database(root)
    from pipeline.review import session  # noqa: PLC0415 - imports fiftyone: takes seconds, and needs its settings

    dataset = session.prepare(root, samples, root / CACHE / "pictures")
    if not options.save:
        session.hold(dataset, address=options.address, port=options.port, browser=not options.no_browser)
    problems = session.save(root, samples, dataset, steward=steward)
    print(describe_waiting(root))
    offer_commit(root, unasked=options.commit)
    return 1 if problems else 0


def describe_waiting(root: Path) -> str:
    """Say how many decisions the curated dataset does not hold yet."""
    built = (root / f"reports/rebalance/{HEADLINE_ARM}.json").exists()
    report = Store(root).read_report(f"rebalance/{HEADLINE_ARM}.json") if built else {}
    waiting, recorded = count_waiting(root, report.get("decisions"))
    if waiting:
        return f"{waiting} of {recorded} decisions await application: run `dvc repro`"
    return f"all {recorded} decisions are in the curated dataset"


def start_database(root: Path) -> None:
    """Start the project's database for the rest of this process; tell FiftyOne, not yet imported, to keep to it.

    Raises:
        UserError: another session holds the database, or it does not start.

    """
    resources = ExitStack()
    atexit.register(resources.close)  # after FiftyOne's own handlers, registered later, which want the database
    resources.enter_context(lock.only_writer(root / "data/.cache/locks", "review", patience_s=2.0))
    os.environ |= {
        "FIFTYONE_DATABASE_URI": resources.enter_context(mongod(root / CACHE / "db")),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(root / CACHE / "datasets"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    }


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
