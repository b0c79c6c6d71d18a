from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import results
from pipeline.commands.facts import accounts, find_problems, summarise
from pipeline.commands.last_words import WIDTH, last_words
from pipeline.commands.layout import table
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
LINES = 25
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


def a_run(**changes: Any) -> dict[str, Any]:
    """What `collect` gathers, as far as the terminal's last words need it."""
    return {
        **summarise(facts()),
        "profile": "demo",
        "settings": {"batches": ["demo"], "seeds": [0]},
        "warnings": [],
        "planted": {"demo": score(truth(), facts())},
        "waiting": {"labels": 2, "off_topic": 0, "disputed": 0, "decisions": 0},
        "audit": {"minutes": 1.5, "next_hour": 1.4, "sampled": 4, "looked_at": 4},
        "metrics": METRICS,
    } | changes


def test_the_last_words_say_what_was_found_beside_the_truth() -> None:
    lines = last_words(a_run()).splitlines()
    assert lines[0] == "demo: 9 files, 8 images, profile demo"
    assert re.search(r"^  1 files rejected +1 of 1 planted, and 0 sound ones$", lines[2])
    assert re.search(r"^  2 copies of another image +2 of 3 planted, and 0 pairs of unlike lesions$", lines[3])
    assert re.search(r"^  2 labels in doubt +of 2 wrong ones 1 are out, weigh little or are queued first$", lines[4])
    assert re.search(r"^  1 images that may show no skin +of 1 planted 1 are", lines[5])
    assert re.search(r"^  5 images are kept +left out: 2 duplicate, 1 off topic$", lines[6])


def test_the_last_words_say_what_curation_changed_and_whether_that_may_be_chance() -> None:
    def told(low: float, seeds: list[int]) -> str:
        gain = {"value": 0.02, "low": low, "high": 0.05, "p": 0.04}
        metrics = METRICS | {"gain": {"curated_over_raw": {"ensemble": {"balanced_accuracy": gain}}}}
        return last_words(a_run(metrics=metrics, settings={"batches": ["demo"], "seeds": seeds}))

    assert "+0.020 (-0.010 to +0.050, p 0.04), of one seed: which chance alone may explain" in told(-0.01, [0])
    assert "+0.020 (+0.010 to +0.050, p 0.04): more than chance explains" in told(0.01, [0, 1])
    assert "+0.020 (+0.010 to +0.050, p 0.04), of one seed: another may differ" in told(0.01, [0])
    assert "curated over raw" not in last_words(a_run(metrics=METRICS | {"gain": {}}))


def test_the_last_words_name_the_command_for_all_that_waits() -> None:
    text = last_words(a_run())
    assert re.search(r"2 labels, 2 min: 1 errors expected +make review\n", text)
    assert "QUEUE" not in text
    waiting = {"labels": 2, "off_topic": 3, "disputed": 1, "decisions": 4}
    audit = {"minutes": 90.0, "next_hour": 40.0, "sampled": 4, "looked_at": 1}
    text = last_words(a_run(waiting=waiting, audit=audit))
    assert "2 labels, 90 min: 40 errors expected in the first hour" in text
    assert re.findall(r"QUEUE=([\w-]+)", text) == ["off-topic", "disputes", "audit"]
    assert re.search(r"4 decisions that are not applied yet +dvc repro\n", text)
    idle = last_words(a_run(waiting=dict.fromkeys(waiting, 0)))
    assert "WAITS" not in idle


def test_of_a_collection_of_ones_own_no_truth_is_known() -> None:
    text = last_words(a_run(planted={}))
    assert "planted" not in text
    assert "docs/your_data.md" not in text
    assert re.search(r"1 files rejected +1 truncated", text)


def test_a_long_warning_is_cut_and_the_others_are_counted() -> None:
    first, second, third = last_words(a_run(warnings=["long " * 40, "short", "odd", "odd"])).splitlines()[1:4]
    assert len(first) <= WIDTH
    assert first.endswith("…")
    assert (second, third) == ("  warning: short", "  2 more warnings are in the report")


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
    text = to_text(shown)
    assert re.search(r"nevus +0.750 \(0.500 to 0.875\)", text)
    titles = [section.title for section in shown if section.detail]
    assert any(title.startswith("Subgroups on test") for title in titles)
    for detail in (*titles, "lite0+clip", "no figures of fewer than 20 groups", "calibration error before"):
        assert detail not in text


def test_results_of_an_older_version_are_laid_out(shown: list[Section]) -> None:
    added = ("joined", "classes", "least_groups", "subgroups", "calibration")
    older = {name: of for name, of in METRICS.items() if name not in added}
    results = {**summarise(facts()), "accounts": {}, "problems": [], "planted": {}, "stages": {}}
    titles = [section.title for section in sections({**results, "metrics": older})]
    assert "Gain in balanced accuracy" in titles
    assert set(titles) < {section.title for section in shown}


def test_what_is_odd_stands_first_on_the_terminal(shown: list[Section]) -> None:
    warning = "folders named 'images' (3 images) are taken for diagnoses"
    assert to_text(shown).splitlines()[0] == "WARNINGS"
    assert warning in to_text(shown)


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
        results.run(tmp_path, argparse.Namespace(write=None, tables=False))


@pytest.mark.pipeline
def test_a_finished_project_is_shown_and_written(project: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project.root, copy, symlinks=True)
    assert results.run(copy, argparse.Namespace(write=copy / "docs/results/tiny.json", tables=False)) == 0
    written = json.loads((copy / "docs/results/tiny.json").read_text("utf-8"))
    assert written["problems"] == []
    assert written["planted"]["demo"]["broken"]["by_kind"]["truncated"]["found"] == 1
    assert written["planted"]["demo"]["copies"]["by_kind"]["copy_bytes"]["found"] > 0
    assert set(written["stages"]) >= {"ingest@demo", "dedup", "evaluate"}
    assert (copy / "reports/index.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert json.loads((copy / "reports/results.json").read_text("utf-8")) == written


@pytest.mark.pipeline
@pytest.mark.parametrize("drawn", [True, False])
def test_the_last_words_of_a_run_are_one_screen(
    project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, drawn: bool
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project.root, copy, symlinks=True)
    if not drawn:
        shutil.rmtree(copy / "data/truth")
    assert results.run(copy, argparse.Namespace(write=None, tables=False)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH
    assert not [line for line in lines if "…" in line], "of a run without warnings nothing is cut"
    assert [line for line in lines if line.isupper()] == ["FOUND", "CHANGED", "WAITS FOR A PERSON", "LOOK", "NEXT"]
    assert ("planted" in "".join(lines)) == drawn


@pytest.mark.pipeline
def test_whoever_has_no_browser_may_have_all_tables_on_the_terminal(
    project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project.root, copy, symlinks=True)
    results.run(copy, argparse.Namespace(write=None, tables=True))
    assert "MODELS ON THE TEST SET" in capsys.readouterr().out
