"""Writes `reports/index.html`: it opens from the file system, without any outside request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from pipeline.commands import review_report
from pipeline.commands.facts import Facts
from pipeline.commands.layout import show
from pipeline.commands.report import arms, doubts, findings, models, provenance, summary
from pipeline.commands.report.pictures import Album
from pipeline.commands.report.run import Run, read_run
from pipeline.commands.sections import Section, sections
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.replay import STATES

TEMPLATES = Path(__file__).parent / "templates"
PAGE, PICTURES, LIBRARY = "index.html", "pictures", "plotly.min.js"  # below reports/
DECISIONS = 20  # the latest, that are listed
# Which tables stand in which section, by how their titles begin; all others stand in the last one.
PLACES = {
    "copies": ("Duplicate pairs",),
    "suspects": ("Random audit", "Diagnoses"),
    "decisions": ("Decisions of", "Time a case", "Labels overturned", "Agreement", "Accuracy on", "What decisions"),
    "models": ("Models", "The ", "Ensemble", "Gain", "Means", "Classes", "Subgroups", "Calibration"),
    "planted": ("Planted",),
}
ELSEWHERE = ("Warnings", "Splits", "Arms")  # said in the page's own words


def write_report(store: Store, tree: Mapping[str, Any], facts: Facts, results: Mapping[str, Any]) -> Path:
    """Write the page, its pictures, the library that draws its plots, and reports/review/; return the page's path.

    Args:
        store: the project.
        tree: params.yaml, checked.
        facts: its tables.
        results: from `results.collect`.

    Raises:
        UserError: a stage has not run.

    """
    run, review = read_run(store, tree, facts, results), review_report.collect(store, tree)
    review_report.write(store.root, review)
    with store.output(f"reports/{PICTURES}") as folder:
        folder.mkdir()
        content = describe(run, review, Album(run, folder, PICTURES))
    with store.output(f"reports/{LIBRARY}") as path:
        path.write_text(get_plotlyjs(), "utf-8")
    with store.output(f"reports/{PAGE}") as path:
        path.write_text(render(content), "utf-8")
    return store.root / "reports" / PAGE


def describe(run: Run, review: Mapping[str, Any], album: Album) -> dict[str, Any]:
    """Gather what the page says, by the names that the template uses; pictures go into the album.

    Args:
        run: what the stages left.
        review: from `review_report.collect`.
        album: of the page.

    """
    plane, queue = doubts.plane(run, album), doubts.queue(run, album)
    return {
        "run": run,
        "results": run.results,
        "summary": {
            "provenance": provenance.describe(run.store.root, run.tree, run.results),
            "found": summary.found(run),
            "waiting": summary.waiting(run),
            "changes": summary.changes(run.metrics, confidence=run.tree["evaluate"]["confidence"]),
            "next": list(summary.look_next(run)),
            "confidence": run.tree["evaluate"]["confidence"],
            "one_seed": len(run.tree["seeds"]) == 1,
        },
        "rejected": findings.rejected(run),
        "copies": findings.copies(run, album),
        "contradictions": findings.contradictions(run, album),
        "all_contradictions": findings.list_contradictions(run)[: findings.LISTED],
        "suspects": findings.suspects(run, album),
        "queue": queue,
        "plane": plane,
        "off_topic": findings.off_topic(run, album),
        "splits": findings.splits(run),
        "flow": arms.draw_flow(run),
        "steps": arms.steps(run),
        "examples": arms.examples(run),
        "shared": arms.shared_out(run, album),
        "plots": models.plots(run),
        "curves": models.curves_of(run),
        "confusion": models.confusion(run),
        "decisions": decisions(run),
        "params": (run.store.root / "params.yaml").read_text("utf-8"),
        "tables": place([*sections(run.results), *review_report.sections(review)]),
    }


def decisions(run: Run) -> dict[str, Any]:
    """Count the stewards' decisions by state, and list the latest."""
    replayed = run.store.read_report("replay/summary.json")
    held = {waiting["seq"]: waiting["state"] for waiting in replayed["waiting"]}
    held |= {stale["seq"]: "stale" for stale in replayed["stale_decisions"]}
    ledger = file.read(run.store.root / PATH)
    latest = [
        (
            d.decided_at[:16].replace("T", " "),
            d.steward,
            d.words,
            " and ".join(d.subject),
            d.reason,
            held.get(d.seq, ""),
            d.effect,
        )
        for d in reversed(ledger.decisions[-DECISIONS:])
    ]
    return {
        "recorded": len(ledger.decisions),
        "digest": ledger.digest[: provenance.DIGITS],
        "stewards": replayed["stewards"],
        "states": [(state, replayed[state], words) for state, words in STATES.items() if replayed[state]],
        "latest": latest,
    }


def place(shown: Sequence[Section]) -> dict[str, list[Section]]:
    """Sort the tables of figures into the page's sections; what none of them claims is under `other`."""
    placed: dict[str, list[Section]] = {name: [] for name in (*PLACES, "other")}
    for section in shown:
        if section.title.startswith(ELSEWHERE):
            continue
        claimed = (name for name, titles in PLACES.items() if section.title.startswith(titles))
        placed[next(claimed, "other")].append(section)
    return placed


def render(content: Mapping[str, Any]) -> str:
    """Lay the page out."""
    files = {name: (TEMPLATES / name).read_text("utf-8") for name in ("style.css", "plots.js")}
    return templates().get_template("page.html").render(**content, files=files, library=LIBRARY)


def templates() -> Environment:
    """Open the templates; what they show is escaped, and a name that they lack is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"show": show, "words": summary.words_of, "signed": summary.signed}
    return environment
