"""`audit`: how many labels are wrong, by the random sample; how many were found, and whether to go on.

    errors = Σ_h N_h k_h / n_h        over strata h of N_h images, of which n_h were looked at and k_h are wrong

The sample is drawn by `label_noise` (table AuditSample). Stewards decide on it as on any case. Only its beginning, up
to the first image that nobody has decided, counts: what was decided behind it was chosen for another reason than
chance. A label is wrong where stewards relabel or drop the image; `not_sure`, and what they see differently, says
neither.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.commands.layout import table
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import DROP, KEEP, PATH, RELABEL, Decision
from pipeline.ledger.replay import read_until, replay
from pipeline.params import read_tree
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.audit_sample import count_errors
from pipeline.stages.label_noise.tables import AuditSample, LabelScores, SuspectQueue

CONFIDENCE = 0.95
HOUR = 60.0  # minutes
WRONG, RIGHT, UNKNOWN = "wrong", "right", "unknown"


@dataclass(frozen=True)
class Audit:
    """What the sample says so far.

    images: whose labels are asked about, copies left out.
    sampled, looked_at: images of the sample, and those of its beginning that say right or wrong.
    wrong: of those looked at.
    errors, low, high: in the whole set, with the interval at 95%; None before anything was looked at.
    found: images of the set that stewards relabelled or dropped, in any queue.
    left: errors without those found, at least 0; None likewise.
    next_hour: errors that the queue expects to be found in the next hour.
    minutes: that the rest of the queue takes.
    """

    images: int
    sampled: int
    looked_at: int
    wrong: int
    errors: float | None
    low: float | None
    high: float | None
    found: int
    left: float | None
    next_hour: float
    minutes: float


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("--next", type=int, default=10, metavar="N", help="cases to list (default: %(default)s)")


def run(root: Path, options: Namespace) -> None:
    """Print the next cases of the sample and what it says so far.

    Raises:
        UserError: `label_noise` has not run.

    """
    store = Store(root)
    tree = read_tree(root / "params.yaml")
    sample, said = store.read(AuditSample).sort_values("place"), read_answers(store, tree)
    scores = store.read(LabelScores).set_index("image_id")
    todo = [image for image in sample["image_id"] if image not in said][: options.next]
    if todo:
        shown = scores.loc[todo, ["given", "suggested", "error_probability"]].reset_index()
        print(table(("next in the sample", "given", "suggested", "p(error)"), shown.to_numpy().tolist()), end="\n\n")
    print("\n".join(sentences(read_audit(store, said))))


def read_audit(store: Store, said: Mapping[str, str]) -> Audit:
    """Count what the sample of a finished run says.

    Args:
        store: the project.
        said: from `read_answers`.

    Raises:
        UserError: `label_noise` has not run.

    """
    groups, scores = store.read(Groups), store.read(LabelScores)
    copies = set(groups.loc[groups["duplicate_of"].notna(), "image_id"])
    asked = set(scores["image_id"]) - copies
    return count(store.read(AuditSample), store.read(SuspectQueue), asked, said)


def read_answers(store: Store, tree: Mapping[str, Any]) -> dict[str, str]:
    """Say of every image that stewards decided on whether its label is wrong, right or unknown."""
    until = read_until(tree["replay"]["until"])
    verdicts = replay(file.read(store.root / PATH).decisions, store.read(Images, tree["batches"]), until=until)
    return {subject[0]: answer(words) for subject, words in verdicts.last.items() if len(subject) == 1}


def count(sample: pd.DataFrame, queue: pd.DataFrame, asked: set[str], said: Mapping[str, str]) -> Audit:
    """Count what a sample says.

    Args:
        sample: the table AuditSample.
        queue: the table SuspectQueue.
        asked: images whose labels are asked about.
        said: `wrong`, `right` or `unknown`, by image that was decided on.

    """
    ordered = sample.sort_values("place", ignore_index=True)
    answers = ordered["image_id"].map(said)
    beginning = answers.notna().cummin()
    looked = ordered[beginning & answers.isin([WRONG, RIGHT])]
    wrong = looked["image_id"].map(said) == WRONG
    sizes = ordered.groupby("stratum")["stratum_images"].first().sort_index()
    errors: tuple[float, float, float] | None = None
    if len(looked):
        errors = count_errors(
            looked["stratum"].to_numpy(),
            wrong.to_numpy(dtype=bool),
            sizes=sizes.to_numpy(),
            confidence=CONFIDENCE,
            rng=np.random.default_rng(0),
        )
    found = sum(said.get(image) == WRONG for image in asked)
    rest = queue.sort_values("place")
    steps = rest[["minutes_so_far", "errors_so_far"]].diff().fillna(rest[["minutes_so_far", "errors_so_far"]].head(1))
    steps = steps[~rest["image_id"].isin(said)]
    within = steps["minutes_so_far"].cumsum() <= HOUR
    return Audit(
        images=len(asked),
        sampled=len(sample),
        looked_at=len(looked),
        wrong=int(wrong.sum()),
        errors=errors[1] if errors else None,
        low=errors[0] if errors else None,
        high=errors[2] if errors else None,
        found=found,
        left=max(errors[1] - found, 0.0) if errors else None,
        next_hour=float(steps.loc[within, "errors_so_far"].sum()),
        minutes=float(steps["minutes_so_far"].sum()),
    )


def sentences(audit: Audit) -> list[str]:
    """Say what an audit found, and when to stop."""
    a = audit
    lines = [f"{a.looked_at} of {a.sampled} images of the sample were looked at, {a.wrong} of their labels are wrong"]
    if a.errors is not None:
        lines.append(
            f"errors in the set of {a.images:,}: about {a.errors:.0f} ({a.low:.0f} to {a.high:.0f} at {CONFIDENCE:.0%})"
        )
    else:
        lines.append(f"errors in the set of {a.images:,}: not known before the sample is looked at, first case first")
    left = "" if a.left is None else f", about {a.left:.0f} left"
    lines.append(f"found so far: {a.found}{left}")
    lines.append(
        f"in the next hour the queue expects {a.next_hour:.1f} more, and {a.minutes:.0f} minutes of it are left"
    )
    return lines


def answer(words: Sequence[Decision]) -> str:
    """Say what the stewards' last words on an image come to."""
    answers = {word.verdict in {RELABEL, DROP} for word in words if word.verdict in {KEEP, RELABEL, DROP}}
    sure = len(answers) == 1 and all(word.verdict in {KEEP, RELABEL, DROP} for word in words)
    return (WRONG if answers.pop() else RIGHT) if sure else UNKNOWN
