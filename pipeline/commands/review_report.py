"""`reports/review/`: how stewards worked, how they agree, and what their decisions changed.

The same ledger, tables and metrics give the same bytes: nothing here comes from a clock. Cases are read because they
are in doubt, so the overturn rate is that of what was read, and of a class as a whole only in the queue `audit`.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.audit import RIGHT, WRONG, answer, read_answers, read_audit
from pipeline.commands.sections import Section, with_interval
from pipeline.core.grouping import SPLITS
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.agreement import accuracies, kappas, wilson
from pipeline.ledger.decisions import CONTROL, DISPUTES, PATH, Decision
from pipeline.ledger.file import count_waiting
from pipeline.ledger.replay import DISPUTED, UNSIGNED, Verdicts
from pipeline.review.desk import TOOL
from pipeline.review.effects import COMPARED, Curated, build, read_curated
from pipeline.stages.rebalance.tables import HEADLINE_ARM

SUMMARY = "reports/review/summary.json"
METRICS = "evaluate/metrics.json"  # below reports/
CONFIDENCE = 0.95
PAUSE_S = 300.0  # between two decisions: more is no time that the case took
ACT_S = 0.25  # decisions closer to each other are one act on many cases
AUTOMATIC_ARM = "clean"  # what the headline arm would be without stewards
FIGURES = ("balanced_accuracy", "accuracy", "macro_auroc")
ALL = "all"


def write(root: Path, report: Mapping[str, Any]) -> Path:
    """Write the report as JSON; return its path."""
    path = root / SUMMARY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return path


def collect(store: Store, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Gather all that the report says.

    Args:
        store: the project.
        tree: params.yaml, checked.

    Raises:
        UserError: a stage before `rebalance` has not run.

    """
    decisions, curated = file.read(store.root / PATH).decisions, read_curated(store, tree)
    built, bare = build(curated, decisions), build(curated, [])
    arm = store.root / f"reports/rebalance/{HEADLINE_ARM}.json"
    applied = store.read_report(f"rebalance/{HEADLINE_ARM}.json").get("decisions") if arm.exists() else None
    metrics = store.read_report(METRICS) if (store.root / "reports" / METRICS).exists() else None
    rng = np.random.default_rng(0)
    return {
        "decisions": {**built.verdicts.counts(), "await_application": count_waiting(store.root, applied)[0]},
        "work": work(decisions),
        "times": times(decisions),
        "overturned": overturned(decisions, built.verdicts, curated),
        "agreement": [asdict(one) for one in kappas(decisions, confidence=CONFIDENCE, rng=rng)],
        "controls": [asdict(one) for one in accuracies(decisions, confidence=CONFIDENCE)],
        "disputes": disputes(decisions, built.verdicts),
        "audit": asdict(read_audit(store, read_answers(store, tree))),
        "changes": changes(bare.rows, built.rows),
        "metrics": difference(metrics),
    }


def work(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Count decisions by steward, day (UTC) and queue."""
    names = {one.person: one.steward for one in decisions}
    counts = Counter((names[one.person], _time(one).date().isoformat(), one.queue) for one in decisions)
    return [
        {"steward": steward, "day": day, "queue": queue, "decisions": count}
        for (steward, day, queue), count in sorted(counts.items())
    ]


def times(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Take the median seconds from one decision in the App to the next, by steward and queue.

    Decisions less than `ACT_S` apart are one act, whose time is shared out over them. What follows a pause of more than
    `PAUSE_S`, or another queue, has no time. Control cases are timed with the queue that they were mixed into.
    """
    found: dict[tuple[str, str], list[float]] = {}
    names = {one.person: one.steward for one in decisions}
    for person, steward in names.items():
        own = sorted((one for one in decisions if one.person == person and one.tool == TOOL), key=_time)
        acts, queue = list[list[Decision]](), ""
        for one in own:
            if acts and _seconds(acts[-1][-1], one) < ACT_S:
                acts[-1].append(one)
            else:
                acts.append([one])
        for before, act in pairwise(acts):
            queue = before[-1].queue if before[-1].queue != CONTROL else queue
            now = act[-1].queue if act[-1].queue != CONTROL else queue
            seconds = _seconds(before[-1], act[0])
            if queue and queue == now and seconds <= PAUSE_S:
                found.setdefault((steward, now), []).extend([seconds / len(act)] * len(act))
    return [
        {"steward": steward, "queue": queue, "cases": len(values), "median_s": round(statistics.median(values), 2)}
        for (steward, queue), values in sorted(found.items())
    ]


def overturned(decisions: Sequence[Decision], verdicts: Verdicts, curated: Curated) -> list[dict[str, Any]]:
    """Count by queue and given class on how many labels stewards are sure, and how many they relabelled or dropped."""
    given = dict(zip(curated.images["image_id"], curated.images["diagnosis"], strict=True))
    queues: dict[str, set[str]] = {}
    for one in decisions:
        if not one.other_image_id:
            queues.setdefault(one.image_id, set()).add(one.queue)
    read, wrong = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for subject, words in verdicts.last.items():
        said = answer(words) if len(subject) == 1 else ""
        for queue in ({ALL} | queues.get(subject[0], set())) if said in {RIGHT, WRONG} else ():
            for key in ((queue, given[subject[0]]), (queue, ALL)):
                read[key] += 1
                wrong[key] += said == WRONG
    rows = []
    for key, count in sorted(read.items()):
        low, high = wilson(wrong[key], count, confidence=CONFIDENCE)
        share = {"share": wrong[key] / count, "low": low, "high": high}
        rows.append({"queue": key[0], "given": key[1], "read": count, "overturned": wrong[key], **share})
    return rows


def disputes(decisions: Sequence[Decision], verdicts: Verdicts) -> dict[str, int]:
    """Count the cases that are disputed, that were decided in the queue of disputes, and that lack a signature."""
    states = list(zip(decisions, verdicts.states, strict=True))
    still = {one.subject for one, state in states if state == DISPUTED}
    decided = {one.subject for one, _ in states if one.queue == DISPUTES and one.subject in verdicts.last} - still
    unsigned = {one.subject for one, state in states if state == UNSIGNED}
    return {"disputed": len(still), "decided": len(decided), "unsigned": len(unsigned)}


def changes(before: Any, after: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401 - frames
    """Count by split how many images of the curated arm the decisions took out, brought back or relabelled.

    Args:
        before: `rows` of an arm built without the ledger.
        after: `rows` of the same arm, built with it.

    """
    after = after.loc[before.index]
    was, is_in = before["reason"] == "", after["reason"] == ""
    kinds = {
        "left": was & ~is_in,
        "returned": ~was & is_in,
        "relabelled": was & is_in & (before["diagnosis"] != after["diagnosis"]),
        "moved": was & is_in & (before["split"] != after["split"]),
        "any": (before[list(COMPARED)] != after[list(COMPARED)]).any(axis=1),
    }
    return {
        split: {name: int((kind & (before["split"] == split)).sum()) for name, kind in kinds.items()}
        for split in SPLITS
    }


def difference(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Compare the final figures with the decisions and without them, where a run has both; None where it has neither.

    `labels`: the curated arm's ensemble on the test set, by the labels that stewards left and by those given.
    `arms`: the ensembles of the arm without decisions and of the curated one, on the same test set; empty where the run
    lacks the first.
    """
    ensemble = (metrics or {}).get("ensemble", {})
    if HEADLINE_ARM not in ensemble:
        return None
    of = ensemble[HEADLINE_ARM]
    sets = {name: _pick(of[name]) for name in ("test", "test_as_given") if name in of}
    arms = {arm: _pick(ensemble[arm]["test"]) for arm in (AUTOMATIC_ARM, HEADLINE_ARM) if arm in ensemble}
    return {"labels": sets, "arms": arms if len(arms) > 1 else {}}


def sections(report: Mapping[str, Any]) -> Iterator[Section]:
    """Lay the report out for the terminal and the page; no section where there is nothing."""
    counts = report["decisions"]
    if not counts["recorded"]:
        return
    waiting = counts["await_application"]
    notes = [f"{counts['recorded']} decisions; {report['disputes']['disputed']} cases are disputed, "]
    notes[0] += (
        f"{report['disputes']['decided']} disputes are decided, {report['disputes']['unsigned']} lack a signature"
    )
    if waiting:
        notes.append(f"{waiting} await application: run `dvc repro`; the metrics lack them")
    rows = [(one["steward"], one["day"], one["queue"], one["decisions"]) for one in report["work"]]
    yield Section("Decisions of the stewards", ["steward", "day", "queue", "decisions"], rows, notes)
    if report["times"]:
        rows = [(one["steward"], one["queue"], one["cases"], one["median_s"]) for one in report["times"]]
        notes = [f"from one decision in the App to the next; pauses of more than {PAUSE_S / 60:.0f} minutes left out"]
        yield Section("Time a case", ["steward", "queue", "cases", "median seconds"], rows, notes)
    if report["overturned"]:
        heads = ["queue", "given", "read", "overturned", "share (95%)"]
        rows = [
            (*(one[name] for name in heads[:4]), with_interval(one | {"value": one["share"]}))
            for one in report["overturned"]
        ]
        notes = ["relabelled or dropped, of those that stewards are sure of; cases in doubt are read first"]
        yield Section("Labels overturned", heads, rows, notes)
    if report["agreement"]:
        heads = ["stewards", "cases of both", "agreed", "kappa (95%)"]
        rows = [
            (" and ".join(one["stewards"]), one["cases"], one["agreed"], with_interval(one | {"value": one["kappa"]}))
            for one in report["agreement"]
        ]
        yield Section("Agreement of stewards", heads, rows, ["of what two read without knowing of each other"])
    if report["controls"]:
        rows = [
            (
                one["steward"],
                one["cases"],
                one["right"],
                with_interval(one | {"value": one["right"] / one["cases"]}),
            )
            for one in report["controls"]
        ]
        yield Section("Accuracy on control cases", ["steward", "cases", "right", "accuracy (95%)"], rows)
    heads = ["split", "left", "returned", "relabelled", "moved", "any"]
    rows = [(split, *(kinds[name] for name in heads[1:])) for split, kinds in report["changes"].items()]
    yield Section("What decisions change in the curated arm", heads, rows, ["images, by the split before"])
    yield from _metrics(report["metrics"])


def _metrics(metrics: Mapping[str, Any] | None) -> Iterator[Section]:
    if metrics is None:
        return
    names = {
        "test": "stewards' labels of the test set",
        "test_as_given": "labels of the test set as given",
        AUTOMATIC_ARM: f"trained without decisions ({AUTOMATIC_ARM})",
        HEADLINE_ARM: f"trained with decisions ({HEADLINE_ARM})",
    }
    shown = {**metrics["arms"], **metrics["labels"]}
    rows = [(names[name], *(with_interval(of[figure]) for figure in FIGURES)) for name, of in shown.items()]
    notes = ["each figure has its own interval, from resampled groups; their difference is not tested"]
    if not metrics["arms"]:
        notes.append(f"list {AUTOMATIC_ARM} in `arms` of params.yaml to see what the decisions gain in training")
    heads = ["ensemble on test", *(figure.replace("_", " ") for figure in FIGURES)]
    yield Section("What decisions change in the metrics", heads, rows, notes)


def _pick(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in FIGURES}


def _time(decision: Decision) -> datetime:
    return datetime.fromisoformat(decision.decided_at).astimezone(UTC)


def _seconds(before: Decision, after: Decision) -> float:
    return (_time(after) - _time(before)).total_seconds()
