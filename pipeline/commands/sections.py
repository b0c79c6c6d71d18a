"""The results as titled tables, from which the terminal's text and the page are both made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.commands.layout import table
from pipeline.core.grouping import SPLITS

FIGURES = ("balanced accuracy", "accuracy", "macro auroc", "calibration error")
BRIEF = ("recall", "sensitivity at 90 specificity", "auroc")  # of a class, on the terminal
PER_CLASS = (*BRIEF, "average precision", "precision", "f1", "specificity")
JOINED = ("balanced accuracy", "macro auroc", "calibration error")
CALIBRATION = (
    "temperature",
    "calibration error before",
    "calibration error",
    "log loss before",
    "log loss",
)
LAWS = "every row is accounted for once; no group is in two splits; the arms share their validation and test sets"


@dataclass(frozen=True)
class Section:
    """A titled table, and sentences below it; a detail is for the page alone."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()
    detail: bool = False


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
    parts = [
        [section.title.upper(), table(section.heads, section.rows), *section.notes]
        for section in shown
        if not section.detail
    ]
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
            f"left out, of little weight, or in front of a person's queue: {handled}",
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
        (pair.replace("_", " "), model, with_interval(figures["balanced_accuracy"]), figures["balanced_accuracy"]["p"])
        for pair, models in metrics["gain"].items()
        for model, figures in models.items()
    ]
    if gains:
        yield Section("Gain in balanced accuracy", ["arms", "model", "difference", "p"], gains)
    yield from _joined(metrics.get("joined", {}).get(product), product, metrics)
    yield from _classes(metrics.get("classes", {}).get(product, {}), product)
    yield from _subgroups(metrics, product)
    yield from _calibration(metrics.get("calibration", {}))


def _joined(joined: Mapping[str, Any] | None, product: str, metrics: Mapping[str, Any]) -> Iterator[Section]:
    """What ensembles gain over the best member; no section where there is but one member."""
    if not joined:
        return
    best, ensembles = joined["best_member"], joined["ensembles"]
    heads = ["joined by", *JOINED, "over the best member", "p"]
    alone = (f"{best} alone", *_figures(metrics["members"][best][product]["test"], JOINED), None, None)
    rows = {name: (name, *_figures(of["test"], JOINED), *_over(of)) for name, of in ensembles.items()}
    methods = [name for name in rows if "+" not in name]
    shares = [
        f"{name} takes {_shares(ensembles[name]['weights'])}" for name in methods if name not in {"mean", "stacking"}
    ]
    notes = [
        f"{best} is the best member on validation; over it: balanced accuracy; of one seed, averaged over seeds",
        f"{'; '.join(shares)}; fitted on validation",
    ]
    yield Section(f"Ensemble and best member, {product}", heads, [alone, *(rows[name] for name in methods)], notes)
    subsets = [rows[name] for name in rows if "+" in name]
    if subsets:
        yield Section(f"Means of subsets of the members, {product}", heads, [alone, *subsets], detail=True)


def _over(ensemble: Mapping[str, Any]) -> tuple[str, float]:
    difference = ensemble["over_best_member"]["balanced_accuracy"]
    return with_interval(difference), difference["p"]


def _shares(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{weight:.2f} {name}" for name, weight in weights.items())


def _classes(classes: Mapping[str, Any], product: str) -> Iterator[Section]:
    """The rest of each class's figures, and those on the labels as given, are for the page."""
    for name, rows in classes.items():
        if name == "test":
            short = [(diagnosis, *_figures(row, BRIEF), row["support"]) for diagnosis, row in rows.items()]
            yield Section(f"Classes, by the {product} ensemble", ["diagnosis", *BRIEF, "support"], short)
        every = [(diagnosis, *_figures(row, PER_CLASS), row["support"]) for diagnosis, row in rows.items()]
        title, heads = f"Classes on {name.replace('_', ' ')}, by the {product} ensemble", ["diagnosis", *PER_CLASS]
        yield Section(title, [*heads, "support"], every, detail=True)


def _subgroups(metrics: Mapping[str, Any], product: str) -> Iterator[Section]:
    figures = ("accuracy", "balanced accuracy")
    for name, attributes in metrics.get("subgroups", {}).items():
        rows = [
            (attribute, value, of["images"], of["groups"], *_figures(of, figures))
            for attribute, values in attributes.items()
            for value, of in values.items()
        ]
        if rows:
            title = f"Subgroups on {name.replace('_', ' ')}, by the {product} ensemble"
            heads = ["by", "value", "images", "groups", *figures]
            notes = [f"no figures of fewer than {metrics['least_groups']} groups; diagnoses differ between subgroups"]
            yield Section(title, heads, rows, notes, detail=True)


def _calibration(calibration: Mapping[str, Any]) -> Iterator[Section]:
    rows = [
        (model, arm, *(of[name.replace(" ", "_")] for name in CALIBRATION))
        for arm, by_model in calibration.items()
        for model, of in by_model.items()
    ]
    if rows:
        notes = ["temperatures are fitted on validation, the ensemble's when its members have theirs"]
        yield Section("Calibration on the test set", ["model", "arm", *CALIBRATION], rows, notes, detail=True)


def _figures(figures: Mapping[str, Any], names: Sequence[str] = FIGURES) -> tuple[str, ...]:
    return tuple(with_interval(figures.get(name.replace(" ", "_"))) for name in names)


def with_interval(figure: Mapping[str, float | None] | None) -> str:
    """Write a figure, its `value`, with its bounds, `low` and `high`; none where one of them is not known."""
    if figure is None or figure["value"] is None or figure["low"] is None or figure["high"] is None:
        return "none"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _ranking(score: Mapping[str, Any]) -> str:
    return f"ranking: AUROC {score['auroc']}, average precision {score['average_precision']}"


def _stages(stages: Mapping[str, Mapping[str, float]]) -> Iterator[Section]:
    rows = [(name, f"{run['seconds']:.1f}", int(run["peak_mib"])) for name, run in stages.items()]
    total = sum(run["seconds"] for run in stages.values())
    notes = [f"{total:.0f} s in all, of the latest run of each; memory is the sum over the processes"]
    yield Section("Stages", ["stage", "seconds", "peak MiB"], rows, notes)
