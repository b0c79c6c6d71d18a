from __future__ import annotations

import argparse
import json
import re
import shutil
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import results
from pipeline.commands.facts import accounts, find_problems, summarise
from pipeline.commands.layout import table
from pipeline.commands.page import page
from pipeline.commands.sections import Section, sections, to_text
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.demo.score import score
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from tests.commands.made import facts, truth
from tests.ledger.made import decision, ledger
from tests.params import write as write_params

ROOT = Path(__file__).parent.parent.parent
FIGURE = {"value": 0.75, "low": 0.5, "high": 0.875}
FIGURES = dict.fromkeys(("balanced_accuracy", "accuracy", "macro_auroc", "calibration_error", "log_loss"), FIGURE)
CLASS_FIGURES = (
    "recall",
    "specificity",
    "precision",
    "f1",
    "auroc",
    "average_precision",
    "sensitivity_at_90_specificity",
)
CLASS = {**dict.fromkeys(CLASS_FIGURES, FIGURE), "precision": dict.fromkeys(FIGURE), "support": 3}
LOSS = {"value": -0.02, "low": -0.05, "high": 0.01, "p": 0.31}
ENSEMBLE = {"test": FIGURES, "weights": {"lite0": 0.25, "clip": 0.75}, "over_best_member": {"balanced_accuracy": LOSS}}
METRICS: dict[str, Any] = {
    "headline_arm": "curated",
    "sets": {"test": {"images": 40, "groups": 30, "sha256": "ab" * 32}},
    "ensemble": {"curated": {"test": FIGURES}},
    "members": {"lite0": {"curated": {"test": FIGURES}}},
    "gain": {"curated_over_raw": {"ensemble": {"balanced_accuracy": {**FIGURE, "p": 0.031}}}},
    "joined": {"curated": {"best_member": "lite0", "ensembles": {"greedy": ENSEMBLE, "lite0+clip": ENSEMBLE}}},
    "classes": {"curated": {"test": {"nevus": CLASS}, "test_as_given": {"nevus": CLASS}}},
    "least_groups": 20,
    "subgroups": {
        "test": {"sex": {"female": {"images": 40, "groups": 30, **FIGURES}, "male": {"images": 2, "groups": 1}}}
    },
    "calibration": {
        "curated": {
            "lite0": {"temperature": 1.5, "calibration_error": 0.01, "log_loss": 0.5}
            | {"calibration_error_before": 0.02, "log_loss_before": 0.6}
        }
    },
}


@pytest.fixture
def shown() -> list[Section]:
    return sections(
        {
            **summarise(facts()),
            "warnings": ["batch demo: folders named 'images' (3 images) are taken for diagnoses"],
            "accounts": accounts(facts()),
            "problems": find_problems(facts()),
            "planted": {"demo": score(truth(), facts())},
            "metrics": METRICS,
            "stages": {"dedup": {"seconds": 2.5, "peak_mib": 300}},
        }
    )


def test_the_text_says_what_was_found_and_how_well_models_do(shown: list[Section]) -> None:
    text = to_text(shown)
    assert "curated: 9 raw rows = 5 selected ⊎ 3 excluded ⊎ 1 rejected" in text
    assert re.search(r"copy_crop +2 +1 +1 +1", text)
    assert re.search(r"lite0 +curated +0.750 \(0.500 to 0.875\)", text)
    assert re.search(r"curated over raw +ensemble +0.750 \(0.500 to 0.875\) +0.031", text)
    assert re.search(r"dedup +2.5 +300", text)


def test_ensembles_stand_beside_the_best_member_with_what_they_lose(shown: list[Section]) -> None:
    text = to_text(shown)
    assert re.search(r"lite0 alone +0.750 \(0.500 to 0.875\)", text)
    assert re.search(r"greedy +0.750 .* -0.020 \(-0.050 to 0.010\) +0.31", text)
    assert "greedy takes 0.25 lite0, 0.75 clip; fitted on validation" in text


def test_details_are_for_the_page(shown: list[Section]) -> None:
    text, html = to_text(shown), page(shown, {})
    assert re.search(r"nevus +0.750 \(0.500 to 0.875\)", text)
    details = ("lite0+clip", "Subgroups on test", "no figures of fewer than 20 groups", "Classes on test as given")
    for detail in (*details, "calibration error before"):
        assert detail in html
        assert detail not in text
    assert '<td>male</td><td class="number">2</td><td class="number">1</td><td>none</td><td>none</td>' in html


def test_results_of_an_older_version_are_laid_out(shown: list[Section]) -> None:
    added = ("joined", "classes", "least_groups", "subgroups", "calibration")
    older = {name: of for name, of in METRICS.items() if name not in added}
    results = {**summarise(facts()), "accounts": {}, "problems": [], "planted": {}, "stages": {}}
    titles = [section.title for section in sections({**results, "metrics": older})]
    assert "Gain in balanced accuracy" in titles
    assert set(titles) < {section.title for section in shown}


def test_what_is_odd_stands_first_on_the_terminal_and_on_the_page(shown: list[Section]) -> None:
    warning = "folders named 'images' (3 images) are taken for diagnoses"
    assert to_text(shown).splitlines()[0] == "WARNINGS"
    assert warning in to_text(shown)
    assert escape(warning) in page(shown, {}).partition("<h2>Data</h2>")[0]


def test_the_page_needs_nothing_from_outside_and_links_every_picture(shown: list[Section]) -> None:
    class Links(HTMLParser):
        found: list[str] = []  # noqa: RUF012 - of the one parser made here

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += [value for name, value in attrs if name in {"href", "src"} and value]
            assert tag not in {"script", "link", "iframe"}

    html = page(shown, {"dedup": ["dedup/pictures/a&b.jpg"]})
    parser = Links()
    parser.feed(html)
    assert set(parser.found) == {"#dedup", "dedup/pictures/a&b.jpg"}
    assert "://" not in html
    assert "<td>copy_crop</td>" in html


def test_text_in_the_page_is_escaped() -> None:
    html = page([Section("<b>", ["a"], [["<script>"]])], {})
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_images_are_listed_by_stage_relative_to_the_page(tmp_path: Path) -> None:
    for name in ("dedup/pictures/b.jpg", "dedup/pictures/a.png", "dedup/pictures/.gitignore", "evaluate/roc.csv"):
        (tmp_path / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reports" / name).touch()
    assert results.images(tmp_path) == {"dedup": ["dedup/pictures/a.png", "dedup/pictures/b.jpg"]}


def test_numbers_are_rounded_wherever_they_stand() -> None:
    assert results.rounded({"a": [0.123456, 3], "b": {"c": None, "d": "x"}}) == {
        "a": [0.1235, 3],
        "b": {"c": None, "d": "x"},
    }


def test_numbers_stand_right_and_words_left() -> None:
    assert table(["name", "n"], [("a", 12345), ("long", None)]).splitlines() == [
        "name       n",
        "------------",
        "a     12,345",
        "long",
    ]


def test_decisions_that_await_application_are_a_warning(tmp_path: Path) -> None:
    ledger(tmp_path)
    store, tree = Store(tmp_path), {"batches": ["demo"], "arms": ["raw"]}
    store.report("ingest/demo.json", {"raw_rows": 1})
    held = {"digest": file.read(tmp_path / PATH).digest, "recorded": 0}
    store.report("rebalance/raw.json", {"decisions": held, "warnings": ["odd"]})
    assert results.warnings(store, tree) == ["arm raw: odd"]
    file.append(tmp_path, [decision()])
    assert results.warnings(store, tree)[1:] == ["1 of 1 decisions await application: run `dvc repro`"]


def test_before_the_first_run_the_remedy_is_named(tmp_path: Path) -> None:
    write_params(tmp_path)
    with pytest.raises(UserError, match=r"does not exist .*: run `dvc repro`"):
        results.run(tmp_path, argparse.Namespace(write=None))


@pytest.mark.pipeline
def test_a_finished_project_is_shown_and_written(project: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project.root, copy, symlinks=True)
    assert results.run(copy, argparse.Namespace(write=copy / "docs/results/tiny.json")) == 0
    written = json.loads((copy / "docs/results/tiny.json").read_text("utf-8"))
    assert written["problems"] == []
    assert written["planted"]["demo"]["broken"]["by_kind"]["truncated"]["found"] == 1
    assert written["planted"]["demo"]["copies"]["by_kind"]["copy_bytes"]["found"] > 0
    assert set(written["stages"]) >= {"ingest@demo", "dedup", "evaluate"}
    assert (copy / "reports/index.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert json.loads((copy / "reports/results.json").read_text("utf-8")) == written
