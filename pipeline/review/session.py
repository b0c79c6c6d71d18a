"""A steward's session: what is shown is prepared, held open, and what was tagged is recorded."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
import webbrowser
from dataclasses import replace

from pipeline.ledger.decisions import BROWSING, PATH, Decision
from pipeline.review import spool
from pipeline.review.dataset import (
    Dataset,
    delete_if_old,
    launch,
    open_dataset,
    open_datasets,
    read_tags,
    remove_tags,
    show_decisions,
)
from pipeline.review.decide import now
from pipeline.review.desk import SHEETS, Desk
from pipeline.review.effects import complete
from pipeline.review.queues import OFF_TOPIC, OPEN
from pipeline.review.samples import Samples, of_cases
from pipeline.review.server import Server
from pipeline.review.tags import decide, in_bulk

PATIENCE_S = 120.0  # for DVC, when the session ends
GRID = (OFF_TOPIC, BROWSING)  # queues of many at once: they open on the grid, the others on the first case


def prepare(desk: Desk, samples: Samples) -> Dataset:
    """Open the queue's dataset with the decisions that the steward may see.

    Args:
        desk: the steward's.
        samples: of all images.

    """
    shutil.rmtree(desk.folder / SHEETS, ignore_errors=True)  # of tables that may be gone
    shown = of_cases(samples, list(desk.cases.values()), blind=desk.queue not in OPEN)
    dataset = open_dataset(shown, desk.folder / "pictures" / desk.queue, desk.queue)
    show_decisions(dataset, desk.words(desk.queue))
    return dataset


def hold(desk: Desk, dataset: Dataset, server: Server, *, browser: bool) -> None:
    """Keep the App open until Ctrl-C, or until the process is asked to end or its terminal is closed."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)
    session = launch(dataset, server, plane=desk.queue == BROWSING)
    try:
        url = f"{str(session.url).rstrip('/')}/datasets/{dataset.slug}"
        first = desk.first()
        if desk.queue not in GRID and first is not None:
            url += f"?id={dataset.match({'place': first}).first().id}"
        print(
            f"the App is at {url}\none key a decision, recorded at once; Ctrl-C here ends, and reads the tags",
            flush=True,
        )
        if browser and _has_display():
            webbrowser.open(url)
        else:
            forwarded = f"{server.port}:{server.address}:{server.port}"
            print(f"from another machine: ssh -N -L {forwarded} {platform.node()}", flush=True)
        session.wait(-1)
    except KeyboardInterrupt:
        print()
    server.stop()
    session.close()


def save(desk: Desk, samples: Samples, *, bulk: bool) -> list[str]:
    """Append the decisions that tags stand for, of all queues of the steward, then take those tags away.

    Args:
        desk: the steward's.
        samples: of all images.
        bulk: record tags that stand on very many images without asking.

    Returns:
        what could not be recorded.

    """
    problems: list[str] = []
    for dataset in open_datasets():
        problems += _save(desk, samples, dataset, bulk=bulk)
        if not delete_if_old(dataset):
            show_decisions(dataset, desk.words(dataset.name))
    for problem in problems:
        print(f"not recorded: {problem}", file=sys.stderr)
    return problems


def _save(desk: Desk, samples: Samples, dataset: Dataset, *, bulk: bool) -> list[str]:
    rows, tags, problems = samples.rows, read_tags(dataset), list[str]()
    for text in in_bulk(tags):
        count = sum(text in texts for texts in tags.values())
        if not bulk and not _meant(f"{text} is tagged on {count} images of {len(dataset)} in {dataset.name}"):
            problems.append(
                f"{text}, which is tagged on {count} images: `python -m pipeline review --save --bulk` records it, if "
                "it was meant for all of them"
            )
            tags = {image: [other for other in texts if other != text] for image, texts in tags.items()}
    known = {image: texts for image, texts in tags.items() if image in set(rows["image_id"])}
    gone = [
        f"{image}: {', '.join(texts)}: there is no such image any more"
        for image, texts in tags.items()
        if image not in known
    ]
    outcome = decide(
        rows,
        known,
        desk.own_words(),
        diagnoses=set(rows["diagnosis"]),
        queue=dataset.name,
        steward=desk.steward,
        decided_at=now(),
    )
    held, made = desk.decisions(), list[Decision]()
    for decision in outcome.decisions:
        queued = replace(decision, queue=desk.queue_of(decision.subject, decision.queue))
        made.append(complete(desk.tables.curated, [*held, *made], queued))
    in_ledger = spool.record(desk.root, desk.spool, made, patience_s=PATIENCE_S)
    remove_tags(dataset, outcome.settled)
    where = PATH if in_ledger else f"{desk.spool}, where they wait until dvc has read {PATH}"
    if made or dataset.name == desk.queue:
        print(f"recorded {len(made)} tags of {desk.steward} in {where}")
    return [*problems, *gone, *outcome.problems]


def _meant(what: str) -> bool:
    """Ask whether many tags were meant; nobody at a terminal means no."""
    return sys.stdin.isatty() and input(f"{what}; record it for all of them? [y/N] ").lower() in {"y", "yes"}


def _has_display() -> bool:
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return any(map(os.environ.get, names)) if platform.system() == "Linux" else "SSH_CONNECTION" not in os.environ
