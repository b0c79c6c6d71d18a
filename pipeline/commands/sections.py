"""The results as titled tables, from which the terminal's text and the page are both made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.commands.layout import table
from pipeline.core.grouping import SPLITS

FIGURES = ("balanced accuracy", "accuracy", "macro auroc", "calibration error")
PER_CLASS = ("precision", "recall", "f1", "support")
LAWS = "every row is accounted for once; no group is in two splits; the arms share their validation and test sets"


@dataclass(frozen=True)
class Section:
    """A titled table, and sentences below it."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()


def sections(results: Mapping[str, Any]) -> list[Section]:
    """Lay the results of `results.collect` out."""
    return [
        *_warnings(results),
        *_data(results),
        *_audit(results.get("audit")),
        *_planted(results["planted"]),
        *_metrics(results["metrics"]),
        *_stages(results["stages"]),
    ]


def to_text(shown: Sequence[Section]) -> str:
    """Write sections for a terminal."""
    parts = [[section.title.upper(), table(section.heads, section.rows), *section.notes] for section in shown]
    return "\n\n".join("\n".join(part) for part in parts)


def _warnings(results: Mapping[str, Any]) -> Iterator[Section]:
    """What a person should look at before any figure; no section where there is nothing."""
    if results.get("warnings"):
        yield Section("Warnings", ["what is odd"], [(warning,) for warning in results["warnings"]])


def _data(results: Mapping[str, Any]) -> Iterator[Section]:
    laws = results["problems"] or [LAWS]
    rejects = [f"rejected: {reason}" for reason in results["rejects_by_reason"]]
    duplicates, labels = results["duplicates"], results["labels"]
    rows = [
        ("raw rows", results["raw_rows"]),
        ("images", results["images"]),
        *zip(rejects, results["rejects_by_reason"].values(), strict=True),
        ("copies (each tied to a kept image)", duplicates["copies"]),
        *((f"pairs: {relation}", counts["all"]) for relation, counts in duplicates["edges"].items()),
        ("groups", duplicates["groups"]),
        ("groups of several images", duplicates["groups_of_several"]),
        ("label suspects", labels["suspects"]),
    ]
    yield Section("Data", ["what", "count"], rows, laws)
    edges = [
        (relation, evidence, count)
        for relation, counts in duplicates["edges"].items()
        for evidence, count in counts.items()
        if evidence != "all"
    ]
    yield Section("Duplicate pairs by evidence", ["relation", "evidence", "pairs"], edges)
    suspects = labels["suspects_by_given"]
    diagnoses = [(name, count, suspects.get(name, 0)) for name, count in results["images_by_diagnosis"].items()]
    yield Section("Diagnoses", ["diagnosis", "images", "suspects"], diagnoses)
    splits = [(name, counts["images"], counts["groups"]) for name, counts in results["splits"].items()]
    yield Section("Splits (before any removal)", ["split", "images", "groups"], splits)
    reasons = sorted({reason for arm in results["arms"].values() for reason in arm["excluded_by_reason"]})
    arms = [
        (name, *(arm["selected_by_split"][s] for s in SPLITS), *(arm["excluded_by_reason"].get(r, 0) for r in reasons))
        for name, arm in results["arms"].items()
    ]
    notes = [f"{arm}: {account}" for arm, account in results["accounts"].items()]
    yield Section("Arms", ["arm", *SPLITS, *(f"out: {reason}" for reason in reasons)], arms, notes)


def _audit(audit: Mapping[str, Any] | None) -> Iterator[Section]:
    """What the random audit says; no section before anybody looked at its first image."""
    if audit and audit["errors"] is not None:
        rows = [
            ("labels", audit["images"]),
            ("looked at, of the sample", audit["looked_at"]),
            ("wrong among them", audit["wrong"]),
            ("errors in the set, estimated", f"{audit['errors']:.0f} ({audit['low']:.0f} to {audit['high']:.0f})"),
            ("found", audit["found"]),
            ("left, estimated", round(audit["left"])),
            ("expected in the next hour of the queue", audit["next_hour"]),
        ]
        yield Section("Random audit of the labels", ["what", "count"], rows)


def _planted(planted: Mapping[str, Any]) -> Iterator[Section]:
    for batch, score in planted.items():
        copies, labels, strays, broken = (score[name] for name in ("copies", "labels", "off_topic", "broken"))
        rows = [
            (kind, counts["planted"], counts["found"], counts["kept_together"], counts.get("removed"))
            for kind, counts in copies["by_kind"].items()
        ]
        views = copies["second_views"]
        rows.append(("second view of a lesion", views["planted"], None, views["kept_together"], None))
        pairs = f"{copies['wrong_pairs']} of {copies['copy_edges']} copy edges tie different lesions"
        notes = [f"{pairs}; {views['taken_for_copies']} second views are taken for copies"]
        heads = ["planted", "count", "found", "in one group", "removed"]
        yield Section(f"Planted copies in {batch}", heads, rows, notes)
        others = [
            ("wrong_label", labels["planted"], labels["found"]),
            ("off_topic", strays["planted"], strays["found_in_top"]),
            *((kind, counts["planted"], counts["found"]) for kind, counts in broken["by_kind"].items()),
        ]
        suspects = f"labels: {labels['wrong_found']} of {labels['wrong']} images in a wrong folder are suspects"
        stray = f"off topic: found means among the first {strays['top']}; {_ranking(strays)}"
        wrong, off_topic = (f"{of['handled']} of {of[all_]}" for of, all_ in ((labels, "wrong"), (strays, "planted")))
        handled = f"{wrong} wrong labels, {off_topic} off topic"
        notes = [
            f"{suspects} (precision {labels['precision']} of {labels['suspects']}); {_ranking(labels)}",
            f"{stray}; the product leaves out {strays.get('excluded', 'none')}",
            f"left out, or in front of a person's queue: {handled}",
            f"{broken['sound_rejected']} sound files were rejected",
        ]
        yield Section(f"Planted defects in {batch}", ["planted", "count", "found"], others, notes)


def _metrics(metrics: Mapping[str, Any]) -> Iterator[Section]:
    product = metrics["headline_arm"]
    sets = {name: f"{of['images']} images, {of['groups']} groups" for name, of in metrics["sets"].items()}
    scored = [("ensemble", arm, scores["test"]) for arm, scores in metrics["ensemble"].items()]
    scored += [(m, arm, scores["test"]) for m, arms in metrics["members"].items() for arm, scores in arms.items()]
    rows = [(model, arm, *_figures(figures)) for model, arm, figures in scored]
    notes = [f"test set: {sets['test']}, sha256 {metrics['sets']['test']['sha256'][:12]}; intervals resample groups"]
    yield Section("Models on the test set", ["model", "arm", *FIGURES], rows, notes)
    others = [(name, size, *_figures(metrics["ensemble"][product][name])) for name, size in sets.items()]
    yield Section(f"The {product} ensemble on every set", ["set", "size", *FIGURES], others)
    gains = [
        (pair.replace("_", " "), model, _interval(figures["balanced_accuracy"]), figures["balanced_accuracy"]["p"])
        for pair, models in metrics["gain"].items()
        for model, figures in models.items()
    ]
    if gains:
        yield Section("Gain in balanced accuracy", ["arms", "model", "difference", "p"], gains)
    classes = metrics["ensemble"][product]["per_class"]
    rows = [(name, *(row[key] for key in PER_CLASS)) for name, row in classes.items()]
    yield Section(f"Classes, by the {product} ensemble", ["diagnosis", *PER_CLASS], rows)


def _figures(figures: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_interval(figures[name.replace(" ", "_")]) for name in FIGURES)


def _interval(figure: Mapping[str, float | None]) -> str:
    if figure["value"] is None or figure["low"] is None or figure["high"] is None:
        return "none"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _ranking(score: Mapping[str, Any]) -> str:
    return f"ranking: AUROC {score['auroc']}, average precision {score['average_precision']}"


def _stages(stages: Mapping[str, Mapping[str, float]]) -> Iterator[Section]:
    rows = [(name, f"{run['seconds']:.1f}", int(run["peak_mib"])) for name, run in stages.items()]
    total = sum(run["seconds"] for run in stages.values())
    notes = [f"{total:.0f} s in all, of the latest run of each; memory is the sum over the processes"]
    yield Section("Stages", ["stage", "seconds", "peak MiB"], rows, notes)
