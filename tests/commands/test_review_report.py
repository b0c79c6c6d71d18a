from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import decisions as command
from pipeline.commands.review_report import SUMMARY, collect, difference, overturned, sections, times, work
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.decisions import CONTROL, Decision
from pipeline.params import read_tree
from pipeline.review.effects import build, read_curated
from pipeline.stages.ingest.tables import Images
from tests.ledger.made import decision
from tests.review.made import apply_decisions, project


def at(clock: str, image: str = "demo:04", steward: str = "A", queue: str = "labels", **fields: str) -> Decision:
    time = f"2026-01-02T{clock}+00:00"
    return decision(image, "drop", steward=steward, queue=queue, decided_at=time, **({"tool": "panel"} | fields))


def on(store: Store, image: str, verdict: str, **fields: Any) -> Decision:
    """Make a decision that fits the image."""
    row = store.read(Images, ["demo"]).set_index("image_id").loc[image]
    given = row["diagnosis"] if verdict in {"keep", "relabel", "not_sure"} else ""
    return decision(image, verdict, sha256=row["sha256"], given=given, **fields)


def test_decisions_are_counted_by_steward_day_and_queue() -> None:
    made = [at("10:00:00"), at("10:00:04"), at("23:59:59"), at("10:00:00", steward="B", queue="audit")]
    late = decision("demo:04", "drop", steward="a", queue="labels", decided_at="2026-01-02T23:30:00-03:00")
    assert [tuple(row.values()) for row in work([*made, late])] == [
        ("B", "2026-01-02", "audit", 1),
        ("a", "2026-01-02", "labels", 3),
        ("a", "2026-01-03", "labels", 1),
    ]


def test_a_pause_is_no_case_time_and_an_act_on_many_is_shared_out() -> None:
    gaps = [at("10:00:00"), at("10:00:04"), at("10:00:10"), at("10:20:00"), at("10:20:08")]  # 4, 6, a pause, 8
    [found] = times(gaps)
    assert (found["cases"], found["median_s"]) == (3, 6.0)
    many = [at("10:00:00"), *(at(f"10:00:30.0{i}") for i in range(10))]
    [found] = times(many)
    assert (found["cases"], found["median_s"]) == (10, 3.0)


def test_other_queues_other_stewards_and_tags_give_no_time_and_control_cases_do() -> None:
    made = [at("10:00:00"), at("10:00:05", queue=CONTROL), at("10:00:11")]
    others = [at("10:00:12", queue="audit"), at("10:00:13", steward="B"), at("10:00:14", tool="review")]
    assert times([*made, *others]) == [{"steward": "A", "queue": "labels", "cases": 2, "median_s": 5.5}]


def test_overturned_labels_are_counted_by_queue_and_class(tmp_path: Path) -> None:
    store = project(tmp_path)
    made = [
        on(store, "demo:04", "drop", queue="labels"),
        on(store, "demo:08", "keep", queue="labels"),
        on(store, "demo:06", "relabel", to="melanoma", queue="audit"),
        on(store, "demo:07", "not_sure", queue="labels"),
        on(store, "demo:10", "keep", queue="labels", steward="A"),
        on(store, "demo:10", "drop", queue="labels", steward="B"),
    ]
    curated = read_curated(store, read_tree(tmp_path / "params.yaml"))
    rows = overturned(made, build(curated, made).verdicts, curated)
    counted = {(row["queue"], row["given"]): (row["read"], row["overturned"]) for row in rows}
    assert counted == {
        ("all", "all"): (3, 2),
        ("all", "melanoma"): (2, 1),
        ("all", "nevus"): (1, 1),
        ("audit", "all"): (1, 1),
        ("audit", "nevus"): (1, 1),
        ("labels", "all"): (2, 1),
        ("labels", "melanoma"): (2, 1),
    }
    assert all(row["low"] < row["share"] < row["high"] for row in rows if row["read"] > row["overturned"])


def test_the_report_is_written_with_the_same_bytes_and_counts_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = project(tmp_path)
    parser = ArgumentParser()
    command.add_arguments(parser)
    options = parser.parse_args(["--report"])
    command.run(tmp_path, options)
    assert list(sections(json.loads((tmp_path / SUMMARY).read_text("utf-8")))) == [], "nobody has decided anything"

    file.append(tmp_path, [on(store, "demo:04", "drop", steward=who) for who in ("A", "B")])
    file.append(tmp_path, [on(store, "demo:08", "drop", steward="A"), on(store, "demo:08", "keep", steward="B")])
    command.run(tmp_path, options)
    first = (tmp_path / SUMMARY).read_bytes()
    said = capsys.readouterr().out
    command.run(tmp_path, options)
    assert (tmp_path / SUMMARY).read_bytes() == first
    report = json.loads(first)
    assert report["decisions"]["await_application"] == report["decisions"]["recorded"] == 4
    assert report["disputes"] == {"disputed": 1, "decided": 0, "unsigned": 0}
    assert {name: count for of in report["changes"].values() for name, count in of.items() if count} == {
        "left": 1,
        "any": 1,
    }
    [kappa] = report["agreement"]
    assert (kappa["stewards"], kappa["cases"], kappa["agreed"]) == (["A", "B"], 2, 1)
    assert report["metrics"] is None
    for part in ("DECISIONS OF THE STEWARDS", "4 await application", "LABELS OVERTURNED", "AGREEMENT OF STEWARDS"):
        assert part in said
    apply_decisions(store)
    assert collect(store, read_tree(tmp_path / "params.yaml"))["decisions"]["await_application"] == 0


def test_the_metrics_are_compared_where_a_run_has_both() -> None:
    figure = {"value": 0.7, "low": 0.6, "high": 0.8}
    figures = dict.fromkeys(("balanced_accuracy", "accuracy", "macro_auroc", "log_loss"), figure)
    of = {"test": figures, "test_as_given": figures, "validation": figures}
    assert difference(None) is None
    assert difference({"ensemble": {"raw": of}}) is None
    both = difference({"ensemble": {"curated": of, "raw": of}})
    assert both is not None
    assert (both["labels"].keys(), both["arms"]) == ({"test", "test_as_given"}, {})
    both = difference({"ensemble": {"curated": of, "clean": of}})
    assert both is not None
    assert both["arms"].keys() == {"clean", "curated"}
    assert both["arms"]["clean"].keys() == {"balanced_accuracy", "accuracy", "macro_auroc"}
