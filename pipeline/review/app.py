"""`python -m pipeline review`: decide the cases of a queue in the FiftyOne App, one key a decision.

Each steward has a desk: a database, a port and pictures of their own, so that who reads a case a second time does not
see what others said. FiftyOne serves any file that this process can read to whoever reaches its port, so it listens on
this machine alone; tunnel to it from elsewhere.
"""

from __future__ import annotations

import atexit
import hashlib
import ipaddress
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from pathlib import Path

from pipeline.core import lock
from pipeline.core.errors import UserError
from pipeline.core.progress import step
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import BROWSING, PATH, person_of
from pipeline.ledger.file import count_waiting
from pipeline.review import spool
from pipeline.review.database import mongod
from pipeline.review.decide import add_steward_arguments, offer_commit, steward_name
from pipeline.review.desk import SESSION, Desk
from pipeline.review.effects import replay_ledger
from pipeline.review.queues import LABELS, QUEUES, SHARED, Case, read_queue
from pipeline.review.samples import Samples, read_samples
from pipeline.review.served import VARIABLE
from pipeline.review.server import Server, listening
from pipeline.review.sharing import Shares, share_out
from pipeline.review.shown import Tables, open_tables
from pipeline.stages.rebalance.tables import HEADLINE_ARM

CACHE = "data/.cache/review"
FIRST_PORT = 5151
CODE = Path(__file__).parents[2]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument(
        "--queue",
        choices=QUEUES,
        default=LABELS,
        help="which cases (default: %(default)s); all: every image, with the plane of embeddings",
    )
    parser.add_argument(
        "--second-share",
        type=_share,
        default=Shares.second,
        metavar="SHARE",
        help="of the cases that one other steward decided, read again without knowing (default: %(default)s)",
    )
    parser.add_argument(
        "--control-share",
        type=_share,
        default=Shares.control,
        metavar="SHARE",
        help="of the cases on which two others agree, asked to know how well you decide (default: %(default)s)",
    )
    parser.add_argument("--save", action="store_true", help="record the tags of an earlier session, and end")
    parser.add_argument("--bulk", action="store_true", help="record a tag that is on very many images without asking")
    add_steward_arguments(parser)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--port", type=int, help=f"of the App (default: the first free one from {FIRST_PORT})")
    parser.add_argument("--address", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")


def run(root: Path, options: Namespace) -> int:
    """Open the App until Ctrl-C (or record the waiting tags, with --save); return the exit status.

    Raises:
        UserError: the DAG has not run, the address is not loopback, or the steward's desk is open already.

    """
    if not _is_loopback(options.address):
        raise UserError(
            f"--address {options.address} is not loopback: FiftyOne would serve this machine's files to others"
        )
    steward = ask_steward(root, options.steward)
    if still := spool.record_all(root, root / spool.DESKS):
        print(f"{still} decisions wait until dvc has read {PATH}")
    folder = desk_folder(root, steward)
    start_database(root, folder)
    with ExitStack() as opened:
        server = None
        if not options.save:
            (folder / SESSION).unlink(missing_ok=True)  # a browser's old tab may ask before the new one is written
            taken = listening()
            port = options.port or next(port for port in range(FIRST_PORT, 1 << 16) if port not in taken)
            server = opened.enter_context(Server(folder, address=options.address, port=port))
        tables = open_tables(root)
        print(describe_waiting(root))
        with step("import FiftyOne"):
            from pipeline.review import session  # noqa: PLC0415 - takes seconds, and needs its settings
        samples = read_all(tables, whole=options.queue == BROWSING)
        shares = Shares(second=options.second_share, control=options.control_share)
        cases = list_cases(tables, options.queue, steward, samples, shares)
        if not cases and not options.save:
            print(f"no case is in the queue {options.queue}")
            return 0
        desk = Desk(root, folder, steward=steward, queue=options.queue, cases=cases, tables=tables)
        desk.save()
        if server is not None:
            session.hold(desk, session.prepare(desk, samples), server, browser=not options.no_browser)
    if not options.save and (still := spool.record_all(root, root / spool.DESKS, patience_s=session.PATIENCE_S)):
        print(f"{still} decisions wait until dvc has read {PATH}: the next `review` or `decide` records them")
    problems = session.save(desk, samples, bulk=options.bulk)
    print(describe_waiting(root))
    offer_commit(root, unasked=options.commit)
    return 1 if problems else 0


def ask_steward(root: Path, named: str | None) -> str:
    """Return the name given on the command line; without one ask at a terminal, offering git's user name.

    Raises:
        UserError: nobody is named.

    """
    if named or not sys.stdin.isatty():
        return steward_name(root, named)
    try:
        known = steward_name(root, None)
    except UserError:
        known = ""
    return steward_name(root, input(f"who decides{f' [{known}]' if known else ''}? ").strip() or known or None)


def desk_folder(root: Path, steward: str) -> Path:
    """Name the folder of a steward's desk, the same however the name is written."""
    person = person_of(steward)
    plain = re.sub(r"[^a-z0-9]+", "-", person).strip("-")[:24]
    return root / spool.DESKS / f"{plain}-{hashlib.sha256(person.encode()).hexdigest()[:6]}".lstrip("-")


def read_all(tables: Tables, *, whole: bool) -> Samples:
    """Read what the App shows of all images; `whole`: with their places on the plane of embeddings."""
    tree = tables.tree
    return read_samples(tables.store, tree["batches"], tree["encoders"][0] if whole else None)


def list_cases(tables: Tables, queue: str, steward: str, samples: Samples, shares: Shares | None = None) -> list[Case]:
    """List the cases of a queue that are for a steward, as the ledger is now.

    Args:
        tables: what the stages wrote.
        queue: one of `QUEUES`.
        steward: who will read.
        samples: of all images.
        shares: how much is read again; None: the default.

    """
    decisions = file.read(tables.store.root / PATH).decisions
    verdicts, rows = replay_ledger(tables.curated, decisions), samples.rows
    cases = read_queue(tables.store, queue, steward=steward, verdicts=verdicts, decisions=decisions, facts=rows)
    if queue not in SHARED:
        return cases
    return share_out(
        cases,
        decisions,
        verdicts,
        steward=steward,
        queue=queue,
        seed=tables.tree["seed"],
        shares=shares or Shares(),
        signed=set(rows.loc[rows["split"] != "train", "image_id"]) if tables.curated.replay.second_signature else (),
    )


def describe_waiting(root: Path) -> str:
    """Say how many decisions the curated dataset does not hold yet."""
    built = (root / f"reports/rebalance/{HEADLINE_ARM}.json").exists()
    report = Store(root).read_report(f"rebalance/{HEADLINE_ARM}.json") if built else {}
    waiting, recorded = count_waiting(root, report.get("decisions"))
    if waiting:
        return f"{waiting} of {recorded} decisions await application: run `dvc repro`"
    return f"all {recorded} decisions are in the curated dataset"


def start_database(root: Path, folder: Path) -> None:
    """Start a desk's database for the rest of this process; tell FiftyOne, not yet imported, to keep to it.

    Raises:
        UserError: another session holds the desk, or the database does not start.

    """
    resources = ExitStack()
    atexit.register(resources.close)  # after FiftyOne's own handlers, registered later, which want the database
    resources.enter_context(lock.only_writer(root / "data/.cache/locks", f"review-{folder.name}", patience_s=2.0))
    before_desks = root / CACHE / "db"
    if before_desks.exists() and not (folder / "db").exists():  # its tags are those of who opens the App next
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before_desks.rename(folder / "db")
    paths = [str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {
        "FIFTYONE_DATABASE_URI": resources.enter_context(mongod(folder / "db")),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(folder / "datasets"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_PLUGINS_DIR": str(Path(__file__).parent),  # it holds the folder panel/
        "FIFTYONE_PLUGINS_CACHE_ENABLED": "true",
        VARIABLE: str(folder / SESSION),
        "PYTHONPATH": os.pathsep.join(paths),  # the server runs in a folder of FiftyOne's own
    }


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ArgumentTypeError(f"{text!r} is no share: say a number from 0 to 1")
    return share
