"""`decisions`: list what stewards decided and what became of it, how they agree with each other, or report on all."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.commands import review_report
from pipeline.commands.layout import table
from pipeline.commands.review_report import SUMMARY
from pipeline.commands.sections import to_text
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.agreement import accuracies, kappas
from pipeline.ledger.decisions import PATH, Decision, person_of
from pipeline.ledger.replay import APPLIED, DISPUTED, STALE, STATES
from pipeline.params import read_tree
from pipeline.review.effects import read_curated, replay_ledger, without_effect

HEADS = ("line", "time", "steward", "verdict", "on", "queue", "state", "reason")
CONFIDENCE = 0.95


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("--by", metavar="NAME", help="only this steward's")
    parser.add_argument("--since", metavar="DATE", help="only those since then, such as 2026-01-31")
    parser.add_argument("--disputed", action="store_true", help="only those that stewards see otherwise")
    parser.add_argument("--no-effect", action="store_true", help="only those in force that change nothing in curated")
    parser.add_argument("--stale", action="store_true", help="only those that do not fit what is there by now")
    parser.add_argument("--stewards", action="store_true", help="how stewards agree: kappa, and accuracy on controls")
    parser.add_argument("--report", action="store_true", help=f"write {SUMMARY}, and show it")


def run(root: Path, options: Namespace) -> None:
    """Print the decisions that the options ask for, and what the states mean that occur.

    Raises:
        UserError: a stage before `replay` has not run, or the date is none.

    """
    decisions = file.read(root / PATH).decisions
    if options.stewards:
        print(agreement(decisions))
        return
    if options.report:
        report = review_report.collect(Store(root), read_tree(root / "params.yaml"))
        print(to_text(list(review_report.sections(report))))
        print(f"\n{review_report.write(root, report).relative_to(root)} is written")
        return
    since = _since(options.since)
    curated = read_curated(Store(root), read_tree(root / "params.yaml"))
    verdicts = replay_ledger(curated, decisions)
    idle = without_effect(curated, decisions) if options.no_effect else [True] * len(decisions)
    why = {stale.seq: f" ({stale.why})" for stale in verdicts.stale}
    wanted = {DISPUTED: options.disputed, STALE: options.stale, APPLIED: options.no_effect}
    states = {state for state, asked in wanted.items() if asked} or set(STATES)
    rows = [
        _row(decision, state + why.get(decision.seq, ""))
        for decision, state, changes_nothing in zip(decisions, verdicts.states, idle, strict=True)
        if state in states
        and (state != APPLIED or changes_nothing)
        and (options.by is None or decision.person == person_of(options.by))
        and (since is None or datetime.fromisoformat(decision.decided_at) >= since)
    ]
    print(table(HEADS, rows))
    print(f"\n{len(rows)} of {len(decisions)} decisions")
    for state in STATES:
        if any(str(row[6]).startswith(state) for row in rows):
            print(f"{state}: {STATES[state]}")


def agreement(decisions: list[Decision]) -> str:
    """Say how stewards agree, in two tables: Cohen's kappa, and accuracy on control cases, with their intervals."""
    pairs = [
        (" and ".join(k.stewards), k.cases, k.agreed, k.kappa, k.low, k.high)
        for k in kappas(decisions, confidence=CONFIDENCE, rng=np.random.default_rng(0))
    ]
    controls = [
        (a.steward, a.cases, a.right, a.right / a.cases, a.low, a.high)
        for a in accuracies(decisions, confidence=CONFIDENCE)
    ]
    ends = ("low (95%)", "high (95%)")
    return "\n\n".join(
        (
            table(("stewards", "cases of both", "agreed", "kappa", *ends), pairs),
            table(("steward", "control cases", "right", "accuracy", *ends), controls),
        )
    )


def _row(decision: Decision, state: str) -> tuple[object, ...]:
    on, time = " ".join(filter(None, (decision.image_id, decision.other_image_id))), decision.decided_at[:16]
    return str(decision.seq + 1), time, decision.steward, decision.words, on, decision.queue, state, decision.reason


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--since {text!r} is no date: write it as 2026-01-31") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
