"""The last words of a run on the terminal: what was found, what it changed, what waits for a person, what to do next.

One screen; all tables and pictures are in the report. Where a truth is known, as of the drawn scrape, it stands beside
what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.commands.audit import HOUR
from pipeline.demo.score import Truths, truths
from pipeline.stages.rebalance.tables import BASE_ARM

WIDTH = 100  # columns
INDENT = "  "
WARNINGS = 2  # that are quoted
LEFT = 32  # columns of the left half; one that is longer pushes the right half of its own block on
Row = tuple[str, str]  # left and right half of a line


def last_words(results: Mapping[str, Any]) -> str:
    """Say in at most a screen what `results.collect` gathered, no line wider than WIDTH."""
    true = truths(list(results["planted"].values()))
    batches = ", ".join(results["settings"]["batches"])
    title = f"{batches}: {results['raw_rows']:,} files, {results['images']:,} images, profile {results['profile']}"
    parts = [
        (title, _warned(results)),
        ("FOUND", _columns(_found(results, true))),
        ("CHANGED", _changed(results)),
        ("WAITS FOR A PERSON", _columns(_waiting(results))),
        ("LOOK", _columns(LOOK)),
        ("NEXT", _columns(NEXT_OF_THE_DEMO if true else NEXT)),
    ]
    lines = [line for head, body in parts if (rows := list(body)) or head is title for line in (head, *rows)]
    return "\n".join(shorten_to(line, WIDTH) for line in lines)


LOOK: Sequence[Row] = (
    ("reports/index.html", "all that was found, with pictures and every figure"),
    ("python -m pipeline why IMAGE", "all that is known of one image, and why it is in or out"),
)
NEXT: Sequence[Row] = (
    ("make review", "decide doubtful cases, one key each (docs/steward.md)"),
    ("dvc repro", "then: applies the decisions, trains again what they change"),
    ("dvc exp run -S KEY=VALUE", "tries another setting: docs/engineer.md has more"),
)
NEXT_OF_THE_DEMO: Sequence[Row] = (
    *NEXT,
    ("docs/your_data.md", "your own pictures: class-named folders need no code"),
)


def _warned(results: Mapping[str, Any]) -> Iterator[str]:
    """Quote the first warnings, and say how many more there are."""
    warnings = results["warnings"]
    yield from (f"{INDENT}warning: {warning}" for warning in warnings[:WARNINGS])
    if warnings[WARNINGS:]:
        yield f"{INDENT}{len(warnings) - WARNINGS} more warnings are in the report"


def _found(results: Mapping[str, Any], true: Truths | None) -> Iterator[Row]:
    """Count what was found, the truth beside it where it is known."""
    reasons = _list(results["rejects_by_reason"])
    labels, product = results["labels"], results["arms"][results["metrics"]["headline_arm"]]
    yield f"{results['rejects']:,} files rejected", true.broken if true else reasons
    yield f"{results['duplicates']['copies']:,} copies of another image", true.copies if true else ""
    yield f"{labels['suspects']:,} labels in doubt", true.labels if true else f"of {labels['scored']:,}"
    yield f"{_off_topic(results):,} images that may show no skin", true.off_topic if true else ""
    out = _list(product["excluded_by_reason"]) or "none"
    yield f"{product['selected']:,} images are kept", f"left out: {out}"


def _off_topic(results: Mapping[str, Any]) -> int:
    out = results["arms"][results["metrics"]["headline_arm"]]["excluded_by_reason"].get("off_topic", 0)
    return int(out + results["waiting"]["off_topic"])


def _changed(results: Mapping[str, Any]) -> Iterator[str]:
    """Say what curation gained over the raw data, and whether that may be chance."""
    metrics = results["metrics"]
    arm, tested = metrics["headline_arm"], metrics["sets"]["test"]
    scores = {name: of["test"]["balanced_accuracy"]["value"] for name, of in metrics["ensemble"].items()}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if value is not None)
    yield f"{INDENT}balanced accuracy of the ensemble on the same {tested['images']:,} test images: {shown}"
    gain = metrics["gain"].get(f"{arm}_over_{BASE_ARM}", {}).get("ensemble", {}).get("balanced_accuracy")
    if gain and gain["low"] is not None and gain["high"] is not None:
        one_seed = len(results["settings"]["seeds"]) == 1
        seeds, said = (", of one seed", "another may differ") if one_seed else ("", "more than chance explains")
        if gain["low"] <= 0 <= gain["high"]:
            said = "which chance alone may explain"
        interval = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}, p {gain['p']:.2g})"
        yield f"{INDENT}{arm} over {BASE_ARM}: {interval}{seeds}: {said}"


def _waiting(results: Mapping[str, Any]) -> Iterator[Row]:
    """Say what waits for a person, how long it takes, and the command that opens it."""
    waiting, audit = results["waiting"], results["audit"]
    if waiting["labels"]:
        hour = " in the first hour" if audit["minutes"] > HOUR else ""
        errors = f"{audit['next_hour']:.0f} errors expected{hour}"
        yield f"{waiting['labels']:,} labels, {max(1, round(audit['minutes']))} min: {errors}", "make review"
    if waiting["off_topic"]:
        yield f"{waiting['off_topic']:,} images that may show no skin", "make review QUEUE=off-topic"
    if waiting["decisions"]:
        yield f"{waiting['decisions']:,} decisions that are not applied yet", "dvc repro"
    if waiting["disputed"]:
        yield f"{waiting['disputed']:,} verdicts of which stewards hold unlike ones", "make review QUEUE=disputes"
    unseen = audit["sampled"] - audit["looked_at"]
    if unseen:
        yield f"{unseen:,} of a random sample: how many errors are there?", "make review QUEUE=audit"


def _columns(rows: Iterable[Row]) -> list[str]:
    """Set two columns."""
    listed = list(rows)
    width = max(LEFT, *(len(left) for left, _ in listed)) if listed else LEFT
    return [f"{INDENT}{left:<{width}}  {right}".rstrip() for left, right in listed]


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())


def shorten_to(line: str, width: int) -> str:
    """Cut what is too wide, spaces as they are."""
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
