"""The report's first screen: what was found, what waits for a person, what curation changed, where to look next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.commands.report.run import Run
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.replay import UNSIGNED
from pipeline.stages.rebalance.arms import OFF_TOPIC
from pipeline.stages.rebalance.tables import BASE_ARM

GAIN = "balanced_accuracy"  # by which arms are compared in words


@dataclass(frozen=True)
class Line:
    """One fact: its number as people read it, what it counts, and the section that shows it; a command that acts."""

    number: str
    words: str
    section: str
    command: str = ""


@dataclass(frozen=True)
class Change:
    """What an arm changes against the raw one: `verdict` says in words whether that may be chance."""

    arm: str
    value: float
    low: float
    high: float
    p: float
    before: float
    after: float
    verdict: str

    @property
    def direction(self) -> str:
        """How to colour it; the words say it too."""
        return "unsure" if self.low <= 0 <= self.high else "better" if self.value > 0 else "worse"


def found(run: Run) -> list[Line]:
    """Say what the stages found."""
    results, labels = run.results, run.store.read_report("label_noise/summary.json")
    out = int((run.facts.exclusions[run.arm]["reason"] == OFF_TOPIC).sum())
    queued, contradictions = len(run.facts.off_topic_queue), int(run.conflicts["across_diagnoses"].sum())
    errors = f"about {labels['estimated_errors']:.0f} labels are expected to be wrong"
    if labels["estimated_errors_interval"]:
        errors += " ({:.0f} to {:.0f})".format(*labels["estimated_errors_interval"])
    return [
        Line(_n(results["rejects"]), f"of {_n(results['raw_rows'])} files rejected", "rejected"),
        Line(_n(results["duplicates"]["copies"]), "images are copies of another one", "copies"),
        Line(_n(contradictions), "pairs show one lesion under two diagnoses", "contradictions"),
        Line(_n(results["labels"]["suspects"]), f"labels are suspects; {errors}", "suspects"),
        Line(_n(out + queued), f"images may show no skin: {_n(out)} left out, {_n(queued)} for a person", "off-topic"),
    ]


def waiting(run: Run) -> list[Line]:
    """Say what waits for a person, and how long it takes by the review queue's own minutes."""
    audit, waits = run.results["audit"], run.results["waiting"]
    labels, strays = waits["labels"], waits["off_topic"]
    unsigned = run.store.read_report("replay/summary.json")[UNSIGNED]
    said = {decision.subject for decision in file.read(run.store.root / PATH).decisions}
    clash = run.conflicts[run.conflicts["across_diagnoses"]]
    pairs = sum(pair not in said for pair in zip(clash["a"], clash["b"], strict=True))
    lines = []
    if labels:
        hour = f"{audit['next_hour']:.0f} errors expected among them"
        if audit["minutes"] > 60:  # noqa: PLR2004 - an hour's
            hour = f"{audit['next_hour']:.0f} errors expected in the first hour"
        words = f"for {_n(labels)} labels in doubt, {hour}"
        lines.append(Line(_minutes(audit["minutes"]), words, "suspects", "make review"))
    if pairs:
        words = "pairs under two diagnoses"
        lines.append(Line(_n(pairs), words, "contradictions", "make review QUEUE=pairs"))
    if strays:
        words = "images that may show no skin"
        lines.append(Line(_n(strays), words, "off-topic", "make review QUEUE=off-topic"))
    if audit["looked_at"] < audit["sampled"]:
        words = "images of the random audit, which says how many labels are wrong"
        lines.append(Line(_n(audit["sampled"] - audit["looked_at"]), words, "suspects", "make review QUEUE=audit"))
    for count, words, command in (
        (waits["disputed"], "decisions that stewards see otherwise", "make review QUEUE=disputes"),
        (unsigned, "decisions on validation or test that want a second steward", "make review"),
    ):
        if count:
            lines.append(Line(_n(count), words, "decisions", command))
    return lines or [Line("0", "cases: nothing waits for a person", "decisions")]


def changes(metrics: Mapping[str, Any], *, confidence: float) -> list[Change]:
    """Say what each arm gains over the raw one, the product first.

    Args:
        metrics: what `evaluate` measured.
        confidence: of the intervals.

    """
    made = []
    for pair, models in metrics["gain"].items():
        arm, figure = pair.removesuffix(f"_over_{BASE_ARM}"), models["ensemble"][GAIN]
        if any(figure[name] is None for name in ("value", "low", "high")):
            continue
        before, after = (metrics["ensemble"][a]["test"][GAIN]["value"] for a in (BASE_ARM, arm))
        value, low, high, p = (figure[name] for name in ("value", "low", "high", "p"))
        words = verdict(value, low, high, p, confidence=confidence)
        made.append(Change(arm, value, low, high, p, before, after, words))
    return sorted(made, key=lambda change: change.arm != metrics["headline_arm"])


def verdict(value: float, low: float, high: float, p: float, *, confidence: float) -> str:
    """Say whether a difference may be chance: by its interval, which may hold zero, and its p."""
    if low <= 0 <= high:
        return "This may be chance: the interval holds zero."
    if p > 1 - confidence:
        return "This may be chance: the interval all but holds zero."
    return f"The choice of test images hardly explains it: {'better' if value > 0 else 'worse'}."


def look_next(run: Run) -> Iterator[Line]:
    """Say where to look next, the most urgent first; at most five."""
    lines = list(_next(run))
    yield from lines[:5]


def _next(run: Run) -> Iterator[Line]:
    if run.results["problems"]:
        yield Line(_n(len(run.results["problems"])), "rules are broken: no figure below holds until that is mended", "")
    on_test = contradictions_on_test(run)
    if on_test:
        yield Line(_n(on_test), "contradicting pairs touch the test set: they change every figure", "contradictions")
    queue = run.facts.suspect_queue
    if len(queue):
        first = queue.sort_values("place")["image_id"].iloc[0]
        yield Line("1.", f"The label most worth a minute: {first}", "suspects")
    weakest = _weakest(run)
    if weakest:
        yield Line(f"{weakest[1]:.0%}", f"recall of {words_of(weakest[0])}, the weakest diagnosis", "models")
    shared = run.store.read_report(f"rebalance/{run.arm}.json").get("shared_out", 0)
    if shared:
        yield Line(_n(shared), "training labels are shared out over diagnoses: are they the right ones?", "arms")
    yield Line(_n(run.results["duplicates"]["groups_of_several"]), "groups that a random split would tear", "splits")


def contradictions_on_test(run: Run) -> int:
    """Count the pairs of unlike diagnoses that lie on test."""
    pairs = run.conflicts[run.conflicts["across_diagnoses"]]
    return int((pairs["a"].map(run.rows["split"]) == "test").sum())


def words_of(name: str) -> str:
    """Write a name of a column, diagnosis or reason as people read it."""
    return name.replace("_", " ")


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _weakest(run: Run) -> tuple[str, float] | None:
    classes = run.metrics.get("classes", {}).get(run.arm, {}).get("test", {})
    recalls = {name: of["recall"]["value"] for name, of in classes.items() if of["recall"]["value"] is not None}
    return min(recalls.items(), key=lambda item: item[1]) if recalls else None


def _minutes(minutes: float) -> str:
    whole = max(1, round(minutes))
    return f"{whole} min" if whole < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - two hours


def _n(count: float) -> str:
    return f"{count:,.0f}"
