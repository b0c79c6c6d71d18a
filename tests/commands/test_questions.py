"""`why`, `decisions` and `diff` on a small project whose curated arm is built."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from pipeline.commands import decisions, diff, why
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.ingest.tables import Images, Rejects
from pipeline.stages.label_noise.tables import LabelScores, SuspectQueue
from pipeline.stages.train.tables import Predictions
from tests.ledger.made import decision, git
from tests.project import Project
from tests.review.made import apply_decisions, project


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = project(tmp_path)
    rejects = {"batch": "demo", "source_id": "99", "reason": "truncated", "detail": "the file ends early"}
    made.write(Rejects, pd.DataFrame([rejects]), instance="demo")
    return made


def decide(store: Store, image: str, verdict: str, **fields: Any) -> None:
    """Record a decision that fits the image."""
    row = store.read(Images, ["demo"]).set_index("image_id").loc[image]
    given = row["diagnosis"] if verdict in {"keep", "relabel", "not_sure"} else ""
    file.append(store.root, [decision(image, verdict, sha256=row["sha256"], given=given, **fields)])


def said(command: ModuleType, store: Store, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = ArgumentParser()
    command.add_arguments(parser)
    command.run(store.root, parser.parse_args(arguments))
    return capsys.readouterr().out


def test_why_an_image_is_out(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    decide(store, "demo:04", "drop", reason="a bruise")
    apply_decisions(store)
    text = said(why, store, capsys, "demo:04")
    for part in (
        "batch demo",
        "licence",
        "melanoma (raw label",
        "wrong with probability",
        "applied: drop by Dr. A. Nurse, 2026-01-02T03:04:05+00:00, queue suspects, line 3: a bruise",
        "out: steward: dropped by Dr. A. Nurse",
    ):
        assert part in text
    copy = said(why, store, capsys, "demo:01")
    assert "of demo:00, which is kept" in copy
    assert "copy with demo:00 by" in copy
    assert "out: duplicate: copy of demo:00" in copy


@pytest.mark.parametrize(("flags", "begins"), [((True, False), "suspect"), ((False, True), "ambiguous")])
def test_a_label_in_doubt_has_its_reason_whatever_the_doubt(
    store: Store, capsys: pytest.CaptureFixture[str], flags: tuple[bool, bool], begins: str
) -> None:
    scores = store.read(LabelScores)
    vectors = {name: store.vectors(LabelScores, name) for name in ("probabilities", "posterior")}
    row = scores["image_id"] == "demo:05"
    for name, flag in zip(("suspect", "ambiguous"), flags, strict=True):
        scores.loc[row, name] = flag
    scores.loc[row, "reason"] = "nothing is likelier"
    store.write(LabelScores, scores, vectors=vectors)
    text = said(why, store, capsys, "demo:05")
    assert f"; {begins}" in text
    assert "nothing is likelier" in text


def test_why_a_file_was_rejected(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "truncated: the file ends early (it never became an image)" in said(why, store, capsys, "demo:99")


def test_an_unknown_image_is_refused_with_names_like_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="'demo:0x' is neither an image nor a reject: did you mean demo:"):
        said(why, store, capsys, "demo:0x")


def test_decisions_are_listed_by_what_became_of_them(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    decide(store, "demo:01", "drop", steward="A")  # a removed copy
    decide(store, "demo:04", "drop", steward="A")
    decide(store, "demo:06", "drop", steward="A", decided_at="2026-03-01T00:00:00+00:00")
    decide(store, "demo:06", "keep", steward="B")
    file.append(store.root, [decision("demo:05", "drop", sha256="other", steward="B")])

    def listed(*arguments: str) -> list[str]:
        lines = said(decisions, store, capsys, *arguments).split("\n\n")[0].splitlines()[2:]
        return [line.split()[0] for line in lines]

    assert listed() == ["3", "4", "5", "6", "7"]
    assert listed("--by", "a") == ["3", "4", "5"]
    assert listed("--since", "2026-02-01") == ["5"]
    assert listed("--disputed") == ["5", "6"]
    assert listed("--disputed", "--by", "B") == ["6"]
    assert listed("--stale") == ["7"]
    assert "the image's bytes changed" in said(decisions, store, capsys, "--stale")
    assert "4" not in listed("--no-effect")
    with pytest.raises(UserError, match="is no date"):
        listed("--since", "lately")


def test_decisions_without_effect_are_those_on_what_is_out_anyway(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(store, "demo:01", "drop")  # a removed copy
    decide(store, "demo:04", "drop")
    text = said(decisions, store, capsys, "--no-effect")
    assert "demo:01" in text
    assert "demo:04" not in text


def test_how_stewards_agree_is_shown(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for steward, verdicts in (("A", "keep drop keep"), ("B", "keep drop drop")):
        for i, verdict in enumerate(verdicts.split()):
            decide(store, f"demo:0{i + 4}", verdict, steward=steward)
    decide(store, "demo:04", "drop", steward="C", queue="control")
    text = said(decisions, store, capsys, "--stewards")
    assert ["A", "and", "B", "3", "2", "0.4"] in [line.split()[:6] for line in text.splitlines()]
    assert ["C", "1", "0", "0"] in [line.split()[:4] for line in text.splitlines()]


def row(diagnosis: str = "nevus", split: str = "train", **fields: str) -> dict[str, Any]:
    return {"diagnosis": diagnosis, "split": split, "given": "nevus", "group_id": "g", **fields}


def out(reason: str, detail: str) -> dict[str, Any]:
    return {"reason": reason, "detail": detail}


def verdict(name: str, to: str | None = None) -> dict[str, Any]:
    return {"verdict": name, "to": to, "steward": "A"}


def test_what_is_other_between_two_builds_has_its_reason() -> None:
    before = diff.Arm(
        {"a": row(), "b": row(), "c": row("melanoma"), "d": row(), "e": row(), "same": row(), "gone": row()},
        {"f": out("label_policy", "p(error) 0.99")},
        {"c": verdict("relabel", "melanoma")},
    )
    after = diff.Arm(
        {
            "b": row("melanoma"),
            "c": row(),
            "d": row("bcc", given="bcc"),
            "e": row(split="test", group_id="h"),
            "f": row(),
            "same": row(),
            "new": row(),
        },
        {"a": out("steward", "dropped by A")},
        {"b": verdict("relabel", "melanoma"), "f": verdict("keep")},
    )
    assert diff.compare(before, after) == [
        ("a", "left", "train", "", "steward: dropped by A"),
        ("b", "diagnosis", "nevus", "melanoma", "relabel melanoma by A"),
        ("c", "diagnosis", "melanoma", "nevus", "no longer in force: relabel melanoma by A"),
        ("d", "diagnosis", "nevus", "bcc", "given as bcc, was nevus"),
        ("e", "split", "train", "test", "group g, now h"),
        ("f", "entered", "", "train", "it was out: label_policy: p(error) 0.99; now keep by A"),
        ("gone", "left", "train", "", "it is not among the images"),
        ("new", "entered", "", "train", "it was not among the images"),
    ]
    assert diff.compare(before, before) == []


@pytest.mark.pipeline
def test_two_revisions_are_compared_from_the_cache(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    git(store.root, "init", "--quiet")
    dvc = Project(store.root).dvc
    dvc("init", "--quiet")

    def track() -> None:
        dvc("add", "--quiet", "data/rebalance", "data/replay")
        git(store.root, "add", "*.dvc", ".dvc")
        git(store.root, "commit", "--quiet", "-m", "Run")

    track()
    decide(store, "demo:04", "drop")
    apply_decisions(store)
    track()
    assert "demo:04  left    train      steward: dropped by Dr. A. Nurse" in said(diff, store, capsys, "HEAD~1", "HEAD")
    assert "1 left" in said(diff, store, capsys, "HEAD~1")
    assert "the curated arm is the same" in said(diff, store, capsys, "HEAD")
    with pytest.raises(UserError, match="nowhere has no curated arm in the cache"):
        said(diff, store, capsys, "nowhere")


@pytest.mark.pipeline
def test_a_finished_project_answers(project: Any) -> None:
    """A real run has all tables, so every question has its whole answer."""
    store = Store(project.root)
    queue = store.read(SuspectQueue).sort_values("place")
    told = project.pipeline("why", queue["image_id"].iloc[0])
    for topic in ("source", "licence", "given", "split", "label", "arm raw", "arm curated"):
        assert f"\n  {topic} " in told
    assert "suspect, place 1:" in told
    predicted = store.read(Predictions, "one-raw-0")["image_id"].iloc[0]
    assert "prediction   one-raw-0: " in project.pipeline("why", predicted)
    assert " by " in project.pipeline("why", store.read(Duplicates)["b"].iloc[0]).split("\n  pair ")[1]
    reject = store.read(Rejects, ["demo"]).iloc[0]
    assert reject["reason"] in project.pipeline("why", f"{reject['batch']}:{reject['source_id']}")
    assert "0 of 0 decisions" in project.pipeline("decisions", "--no-effect")
    assert "next in the sample" in project.pipeline("audit")
    assert "the curated arm is the same" in project.pipeline("diff", "HEAD")
    assert "is whole: 0 decisions" in project.pipeline("ledger", "verify")
